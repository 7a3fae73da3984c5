package upkeep_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/scratch"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// names lists the names of the images in the store, the oldest first; "-" of one without.
func names(t testing.TB, s *layers.Store) []string {
	t.Helper()
	images, err := s.Images(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(images)
	var all []string
	for _, img := range images {
		if len(img.RepoTags) == 0 {
			all = append(all, "-")
		}
		all = append(all, img.RepoTags...)
	}
	return all
}

func TestPrune(t *testing.T) {
	s := storetest.OpenStore(t)
	used := storetest.MustImport(t, s, "used:1", "1", "LABEL keep=yes")
	storetest.MustImport(t, s, "named:1", "2")
	unnamed := storetest.MustImport(t, s, "", "3")
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "", used); err != nil {
		t.Fatal(err)
	}
	old := layers.ImageFilter{Until: time.Now().Add(-time.Hour)}
	for _, opts := range []upkeep.PruneOptions{{Filter: old}, {All: true, Filter: old},
		{All: true, Filter: layers.ImageFilter{Labels: []string{"nosuch"}}}} {
		if p, err := upkeep.Prune(context.Background(), s, opts); err != nil || len(p.Removals) > 0 {
			t.Errorf("%+v removed %+v, %v", opts, p, err)
		}
	}
	working, err := scratch.New(s.Core().TempRoot())
	if err != nil {
		t.Fatal(err)
	}
	if p, err := upkeep.Prune(context.Background(), s, upkeep.PruneOptions{}); err != nil || len(p.Removals) > 0 {
		t.Errorf("an image that may be named yet is removed: %+v, %v", p, err)
	}
	if err := working.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := upkeep.Prune(context.Background(), s, upkeep.PruneOptions{})
	want := []layers.Removal{{Image: unnamed.ID, Deleted: "sha256:" + unnamed.ID},
		{Image: unnamed.ID, Deleted: "sha256:" + unnamed.TopLayer}}
	if err != nil || !slices.Equal(p.Removals, want) || p.Space != unnamed.Size {
		t.Errorf("removed %+v, %v; want %+v and %d bytes", p, err, want, unnamed.Size)
	}
	if got := names(t, s); !slices.Equal(got, []string{"used:1", "named:1"}) {
		t.Errorf("left are %q", got)
	}
	if p, err = upkeep.Prune(context.Background(), s, upkeep.PruneOptions{All: true}); err != nil ||
		len(p.Removals) != 3 ||
		p.Removals[0].Untagged != "named:1" {
		t.Errorf("removed %+v, %v", p, err)
	}
	if got := names(t, s); !slices.Equal(got, []string{"used:1"}) {
		t.Errorf("left are %q", got)
	}
	storetest.IsClean(t, s)
}

func TestPruneKept(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "whole", "x")
	layer, _, err := s.Core().Lib.PutLayer("", img.TopLayer, nil, "", false, nil,
		bytes.NewReader(storetest.PatchTar(t)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := upkeep.PruneKept(context.Background(), s)
	if err != nil || !slices.Equal(p.Removals, []layers.Removal{{Deleted: "sha256:" + layer.ID}}) {
		t.Errorf("removed %+v, %v", p, err)
	}
	storetest.IsClean(t, s)
}

// TestPruneRemoved prunes an image that another process has removed since it was listed.
func TestPruneRemoved(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app:1", "x")
	if _, err := s.RemoveImage(context.Background(), "app:1", layers.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	var p upkeep.Pruned
	if err := upkeep.PruneImage(context.Background(), s, img, &p); err != nil || len(p.Removals) > 0 {
		t.Errorf("removed %+v, %v", p, err)
	}
}
