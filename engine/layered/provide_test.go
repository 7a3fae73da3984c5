package layered

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/layers/registry"
)

func testEngine(t *testing.T) *Engine {
	t.Helper()
	e, err := New(engine.Dirs{Data: t.TempDir(), Run: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// TestProvidePolicies asks a registry that is not there: an image is pulled if the policy says so, and only then.
func TestProvidePolicies(t *testing.T) {
	const nowhere = "127.0.0.1:1/image"
	for policy, want := range map[PullPolicy]struct{ told, pulls bool }{
		"": {true, true}, PullMissing: {true, true}, PullAlways: {false, true}, PullNever: {false, false},
	} {
		told := false
		pulled, err := testEngine(t).Provide(t.Context(), nowhere,
			ProvideOptions{Policy: policy, Missing: func(error) { told = true }})
		if told != want.told || (err != nil) != want.pulls || pulled != nil {
			t.Errorf("%q: told %v, %v, %v", policy, told, pulled, err)
		}
	}
}

func TestProvideRefuses(t *testing.T) {
	e := testEngine(t)
	if _, err := e.Provide(t.Context(), "x", ProvideOptions{Policy: "odd"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a policy that does not exist: %v", err)
	}
	options := ProvideOptions{Policy: PullNever, PullOptions: registry.PullOptions{Platform: "a/b/c/d"}}
	if _, err := e.Provide(t.Context(), "x", options); err == nil {
		t.Error("a platform of four parts is taken")
	}
}
