package layers_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

func TestTag(t *testing.T) {
	s := storetest.OpenStore(t)
	one, two := storetest.MustImport(t, s, "app:1", "x"), storetest.MustImport(t, s, "app:2", "y")
	if err := s.Tag(context.Background(), "app:1", "other", "registry.example:5000/team/app:v1"); err != nil {
		t.Fatal(err)
	}
	img, err := s.Image(context.Background(), "other:latest")
	if err != nil || img.ID != one.ID {
		t.Fatalf("other:latest is %v, %v", img, err)
	}
	if want := []string{"app:1", "other:latest",
		"registry.example:5000/team/app:v1"}; !slices.Equal(slices.Sorted(slices.Values(img.RepoTags)), want) {
		t.Errorf("tags %q, want %q", img.RepoTags, want)
	}
	// A name moves.
	if err := s.Tag(context.Background(), two.ID[:12], "other"); err != nil {
		t.Fatal(err)
	}
	if img, err = s.Image(context.Background(), "other"); err != nil || img.ID != two.ID {
		t.Errorf("other is %v, %v", img, err)
	}
	if img, err = s.Image(context.Background(), one.ID); err != nil || slices.Contains(img.RepoTags, "other:latest") {
		t.Errorf("the first image is %v, %v", img, err)
	}
	for _, bad := range []string{"Upper", "x@sha256:" + one.ID, one.ID, "sha256:" + two.ID[:12], ""} {
		if err := s.Tag(context.Background(), "app:1", bad); err == nil {
			t.Errorf("tag as %q: no error", bad)
		}
	}
	if err := s.Tag(context.Background(), "missing", "x"); !errdefs.IsNotFound(err) {
		t.Errorf("tag a missing image: %v", err)
	}
}

func TestUntag(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app:1", "x")
	if err := s.Tag(context.Background(), "app:1", "app:2", "app:3"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Untag(context.Background(), "app:1", "app:2", "app:9"); !errdefs.IsNotFound(err) ||
		!strings.Contains(err.Error(), "app:9") {
		t.Errorf("a name that it does not have: %v", err)
	}
	if steps, err := s.Untag(context.Background(), "app:1", "app:2"); err != nil || len(steps) != 1 ||
		steps[0].Untagged != "app:2" {
		t.Errorf("one name: %+v, %v", steps, err)
	}
	if steps, err := s.Untag(context.Background(), img.ID); err != nil || len(steps) != 2 {
		t.Errorf("all names: %+v, %v", steps, err)
	}
	if got, err := s.Image(context.Background(), img.ID); err != nil || len(got.Names) != 0 {
		t.Errorf("without names it is %+v, %v", got, err)
	}
}

func TestHistory(t *testing.T) {
	img := layers.Image{Layers: []layers.Layer{{ID: "a", Size: 1}, {ID: "b", Size: 2}, {ID: "c", Size: 3}}}
	img.Config.History = append(img.Config.History,
		history("first", false), history("config", true), history("second", false))
	var got []string
	for _, step := range img.History() {
		line := step.CreatedBy + ":"
		if step.Layer != nil {
			line += step.Layer.ID
		}
		got = append(got, line)
	}
	if want := []string{":c", "second:b", "config:", "first:a"}; !slices.Equal(got, want) {
		t.Errorf("history %q, want %q", got, want)
	}
}

func history(by string, empty bool) v1.History { return v1.History{CreatedBy: by, EmptyLayer: empty} }
