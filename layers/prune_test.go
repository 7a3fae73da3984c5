package layers

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

// names lists the names of the images in the store, the oldest first; "-" of one without.
func names(t testing.TB, s *Store) []string {
	t.Helper()
	images, err := s.Images()
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
	s := openStore(t)
	used := mustImport(t, s, "used:1", "1", "LABEL keep=yes")
	mustImport(t, s, "named:1", "2")
	unnamed := mustImport(t, s, "", "3")
	if err := s.CreateContainer(containerID(1), "", used); err != nil {
		t.Fatal(err)
	}
	old := ImageFilter{Until: time.Now().Add(-time.Hour)}
	for _, opts := range []PruneOptions{{Filter: old}, {All: true, Filter: old}, {All: true, Filter: ImageFilter{Labels: []string{"nosuch"}}}} {
		if p, err := s.Prune(opts); err != nil || len(p.Removals) > 0 {
			t.Errorf("%+v removed %+v, %v", opts, p, err)
		}
	}
	working, err := newScratch(s.tempRoot())
	if err != nil {
		t.Fatal(err)
	}
	if p, err := s.Prune(PruneOptions{}); err != nil || len(p.Removals) > 0 {
		t.Errorf("an image that may be named yet is removed: %+v, %v", p, err)
	}
	if err := working.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := s.Prune(PruneOptions{})
	want := []Removal{{Deleted: "sha256:" + unnamed.ID}, {Deleted: "sha256:" + unnamed.TopLayer}}
	if err != nil || !slices.Equal(p.Removals, want) || p.Space != unnamed.Size {
		t.Errorf("removed %+v, %v; want %+v and %d bytes", p, err, want, unnamed.Size)
	}
	if got := names(t, s); !slices.Equal(got, []string{"used:1", "named:1"}) {
		t.Errorf("left are %q", got)
	}
	if p, err = s.Prune(PruneOptions{All: true}); err != nil || len(p.Removals) != 3 || p.Removals[0].Untagged != "named:1" {
		t.Errorf("removed %+v, %v", p, err)
	}
	if got := names(t, s); !slices.Equal(got, []string{"used:1"}) {
		t.Errorf("left are %q", got)
	}
	isClean(t, s)
}

func TestPruneKept(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "whole", "x")
	layer, _, err := s.lib.PutLayer("", img.TopLayer, nil, "", false, nil, bytes.NewReader(patchTar(t)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.PruneKept()
	if err != nil || !slices.Equal(p.Removals, []Removal{{Deleted: "sha256:" + layer.ID}}) {
		t.Errorf("removed %+v, %v", p, err)
	}
	isClean(t, s)
}

// TestPruneRemoved prunes an image that another process has removed since it was listed.
func TestPruneRemoved(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "app:1", "x")
	if _, err := s.RemoveImage("app:1", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	var p Pruned
	if err := s.pruneImage(img, &p); err != nil || len(p.Removals) > 0 {
		t.Errorf("removed %+v, %v", p, err)
	}
}
