package layers_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/layers/internal/storetest"
)

func TestSimilarTo(t *testing.T) {
	s := storetest.OpenStore(t)
	for _, name := range []string{"debian:12", "debian:11", "registry.example/team/app:1", "bb", "alpine"} {
		storetest.MustImport(t, s, name, name)
	}
	for ref, want := range map[string]string{
		"debian":             "debian:11 and debian:12 are here",
		"debain:12":          "debian:11 and debian:12 are here",
		"app":                "registry.example/team/app:1 is here",
		"other.example/app":  "registry.example/team/app:1 is here",
		"team/apq":           "registry.example/team/app:1 is here",
		"alpin:3":            "alpine:latest is here",
		"nothing":            "",
		"BAD NAME":           "",
		"registry.example/x": "",
	} {
		_, err := s.Image(context.Background(), ref)
		text := fmt.Sprintf("no image %q in the store", ref)
		if want != "" {
			text += "; " + want
		}
		if got := s.SimilarTo(context.Background(), ref); got != want || !errdefs.IsNotFound(err) ||
			err.Error() != text {
			t.Errorf("%s: %q, %v; want %q", ref, got, err, want)
		}
	}
}
