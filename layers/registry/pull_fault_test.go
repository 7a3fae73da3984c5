package registry_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/registry"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// TestPullRetries pulls from a registry that does well after a while.
func TestPullRetries(t *testing.T) {
	img, big := storetest.BigSample(t)
	blob := img.Blobs[big]
	for name, f := range map[string]storetest.Breakage{
		"server error":       storetest.On(big.String(), 2, storetest.Status(http.StatusInternalServerError)),
		"overloaded":         storetest.On(big.String(), 2, storetest.Status(http.StatusTooManyRequests)),
		"unavailable":        storetest.On("latest", 2, storetest.Status(http.StatusServiceUnavailable)),
		"configuration lost": storetest.On(img.ConfigDigest(), 2, storetest.Status(http.StatusBadGateway)),
		"cut off":            storetest.On(big.String(), 2, storetest.Cut(blob, 100_000)),
		"nothing sent":       storetest.On(big.String(), 2, storetest.Cut(blob, 0)),
		"short":              storetest.On(big.String(), 2, storetest.Send(blob[:1000])),
		"too long":           storetest.On(big.String(), 2, storetest.Send(append(slices.Clone(blob), 'x'))),
		"altered":            storetest.On(big.String(), 2, storetest.Send(storetest.Altered(blob))),
	} {
		t.Run(name, func(t *testing.T) {
			reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
			reg.Push(t, img, "app", "latest")
			reg.BreakWith(f)
			pulled, err := registry.Pull(context.Background(), s, reg.Host+"/app",
				registry.PullOptions{Options: storetest.Quickly(3)})
			if err != nil || pulled.ID != img.ID() {
				t.Fatalf("pulled %s, %v", pulled.ID, err)
			}
			storetest.CheckSample(t, s, img)
			if left := storetest.BlobsLeft(t, s); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestPullGivesUp pulls from a registry that does not recover: the error says about what, and nothing is left but what
// is good for another attempt.
func TestPullGivesUp(t *testing.T) {
	img, big := storetest.BigSample(t)
	blob := img.Blobs[big]
	for name, c := range map[string]struct {
		breakage storetest.Breakage
		want     []string
		parts    int
	}{
		"server error": {storetest.On(big.String(), -1, storetest.Status(http.StatusInternalServerError)),
			[]string{big.String(), "500", "3 attempts"}, 1},
		"not there": {storetest.On(big.String(), -1, storetest.Status(http.StatusNotFound)),
			[]string{big.String(), "404"}, 1},
		"cut off": {storetest.On(big.String(), -1, storetest.Cut(blob, 1000)),
			[]string{big.String(), "EOF", "3 attempts"}, 1},
		"short": {storetest.On(big.String(), -1, storetest.Send(blob[:1000])),
			[]string{big.String(), "ends after"}, 1},
		"altered": {storetest.On(big.String(), -1, storetest.Send(storetest.Altered(blob))),
			[]string{big.String(), "wrong content", "3 attempts"}, 0},
		"no manifest": {storetest.On("latest", -1, storetest.Status(http.StatusBadGateway)),
			[]string{"latest", "502", "3 attempts"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
			reg.Push(t, img, "app", "latest")
			reg.BreakWith(c.breakage)
			_, err := registry.Pull(context.Background(), s, reg.Host+"/app",
				registry.PullOptions{Options: storetest.Quickly(2)})
			for _, part := range append(c.want, reg.Host+"/app") {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v, want %q in it", err, part)
				}
			}
			storetest.IsEmpty(t, s)
			left := storetest.BlobsLeft(t, s)
			for _, name := range left {
				if strings.HasSuffix(name, ".lock") || strings.Contains(name, big.Encoded()) && c.parts == 0 {
					t.Errorf("left behind: %s", name)
				}
			}
			reg.BreakWith(nil)
			if _, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{}); err != nil {
				t.Error(err)
			}
			storetest.CheckSample(t, s, img)
			if left := storetest.BlobsLeft(t, s); len(left) > 0 {
				t.Errorf("left behind in the end: %q", left)
			}
		})
	}
}

// TestPullLeavesNoLayer pulls an image whose upper layer cannot be unpacked, after the lower one was.
func TestPullLeavesNoLayer(t *testing.T) {
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	base := storetest.RootfsTar(t, "x")
	reg.Push(t, storetest.NewSample(t, "amd64", base,
		storetest.ArchiveOf(t, storetest.File{Name: "../../x", Data: []byte("bad")})), "evil", "latest")
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/evil", registry.PullOptions{}); err == nil {
		t.Fatal("pulled")
	}
	storetest.IsEmpty(t, s)
	// Layers that something needs stay.
	good := storetest.NewSample(t, "amd64", base)
	reg.Push(t, good, "good", "latest")
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/good", registry.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/evil", registry.PullOptions{}); err == nil {
		t.Fatal("pulled")
	}
	if left, err := s.Core().Lib.Layers(); len(left) != 1 || err != nil {
		t.Errorf("layers %+v, %v; want that of the good image", left, err)
	}
}

// TestPullResumes breaks a download off and looks at what the next one asks for.
func TestPullResumes(t *testing.T) {
	img, big := storetest.BigSample(t)
	blob := img.Blobs[big]
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	reg.Push(t, img, "app", "latest")
	const sent = 300_000
	reg.BreakWith(storetest.On(big.String(), -1, storetest.Cut(blob, sent)))
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{}); err == nil {
		t.Fatal("pulled")
	}
	before := len(reg.Ranges[big.String()])
	reg.BreakWith(serveRange(big.String(), blob))
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.CheckSample(t, s, img)
	if ranges := reg.Ranges[big.String()][before:]; len(ranges) != 1 || ranges[0] != fmt.Sprintf("bytes=%d-", sent) {
		t.Errorf("the second pull asked for %q", ranges)
	}
	// A registry that cannot send parts sends all.
	t.Run("no ranges", func(t *testing.T) {
		s := storetest.OpenStore(t)
		whole := storetest.Send(blob)
		reg.BreakWith(storetest.On(big.String(), -1, storetest.Cut(blob, sent)))
		if _, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{}); err == nil {
			t.Fatal("pulled")
		}
		reg.BreakWith(storetest.On(big.String(), -1, whole))
		if _, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{}); err != nil {
			t.Fatal(err)
		}
		storetest.CheckSample(t, s, img)
	})
}

// serveRange serves a blob in parts, as real registries do.
func serveRange(name string, blob []byte) storetest.Breakage {
	return storetest.On(name, -1, func(w http.ResponseWriter, req *http.Request) bool {
		http.ServeContent(w, req, "", time.Time{}, strings.NewReader(string(blob)))
		return true
	})
}

// TestPushRetries pushes to a registry that does well after a while.
func TestPushRetries(t *testing.T) {
	img, _ := storetest.BigSample(t)
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	reg.Push(t, img, "app", "latest")
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, method := range map[string]string{"upload": http.MethodPost, "manifest": http.MethodPut} {
		var n atomic.Int32
		fail := func(w http.ResponseWriter, req *http.Request) bool {
			return req.Method == method && n.Add(1) <= 2 && storetest.Status(http.StatusBadGateway)(w, req)
		}
		to := storetest.NewRegistry(t)
		to.BreakWith(fail)
		pushed, err := registry.Push(context.Background(), s, reg.Host+"/app",
			registry.PushOptions{Options: storetest.Quickly(3), To: to.Host + "/" + name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		resp, err := http.Get("http://" + to.Host + "/v2/" + name + "/manifests/latest")
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || digest.FromBytes(manifest) != pushed.Digest || int64(len(manifest)) != pushed.Size {
			t.Errorf("%s: the registry has %q, %v; want %+v", name, manifest, err, pushed)
		}
	}
}

// TestPullKilledAnywhere kills pulls at random moments: whatever is listed then is whole, nothing is broken, and the
// next pull does what the one before did not get to.
func TestPullKilledAnywhere(t *testing.T) {
	img, _ := storetest.BigSample(t)
	reg, dir := storetest.NewRegistry(t), t.TempDir()
	reg.Push(t, img, "app", "latest")
	ref := reg.Host + "/app"
	s := storetest.OpenStoreAt(t, dir)
	begin := time.Now()
	if out, err := pullProcess(dir, ref).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole := time.Since(begin)
	random := rand.New(rand.NewPCG(uint64(begin.UnixNano()), 0))
	finished := 0
	for i := range 30 {
		if i%3 == 0 { // else it goes on where the one before was killed
			if _, err := s.RemoveImage(context.Background(), ref, layers.RemoveOptions{Force: true}); err != nil &&
				!errdefs.IsNotFound(err) {
				t.Fatal(err)
			}
		}
		pull := pullProcess(dir, ref)
		if err := pull.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(whole))))
		pull.Process.Kill()
		pull.Wait()                       // that it was killed is no error
		s = storetest.OpenStoreAt(t, dir) // which finishes or undoes what it was at
		images, err := s.Images(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(images) > 0 {
			finished++
			storetest.CheckSample(t, s, img)
		}
		problems, err := upkeep.Check(context.Background(), s, upkeep.CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if p.Kind != upkeep.Leftover {
				t.Fatalf("seed %d, kill %d: %+v", begin.UnixNano(), i, p)
			}
		}
	}
	t.Logf("%d pulls came to an end", finished)
	if _, err := registry.Pull(context.Background(), s, ref, registry.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.CheckSample(t, s, img)
	if left := storetest.BlobsLeft(t, s); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
