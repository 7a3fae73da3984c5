package layers

import (
	"bytes"
	"context"
	"slices"
	"testing"
)

// TestPullImported pulls an image whose lower layer has been imported, and another that has the layer above another one:
// its blob is not fetched.
func TestPullImported(t *testing.T) {
	s, reg := openStore(t), newRegistry(t)
	base, patch := rootfsTar(t, "x"), patchTar(t)
	if _, err := s.Import(context.Background(), bytes.NewReader(base), ImportOptions{Name: "imported"}); err != nil {
		t.Fatal(err)
	}
	first, second := newSample(t, "amd64", base, patch), newSample(t, "amd64", patch, base, archiveOf(t, file{"new", []byte("n")}))
	for tag, img := range map[string]*sample{"1": first, "2": second} {
		reg.push(t, img, "app", tag)
	}
	var states recorder
	if _, err := s.Pull(context.Background(), reg.host+"/app:1", PullOptions{Progress: &states}); err != nil {
		t.Fatal(err)
	}
	if reg.fetched[blobOf(t, first, 0).String()] != 0 || reg.fetched[blobOf(t, first, 1).String()] != 1 || states.states[blobOf(t, first, 0)] != LayerExists {
		t.Errorf("fetched %v; layers are %v", reg.fetched, states.states)
	}
	checkSample(t, s, first)
	checkContent(t, s, first)
	if _, err := s.Pull(context.Background(), reg.host+"/app:2", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	for n, want := range []int{1, 0, 1} {
		if got := reg.fetched[blobOf(t, second, n).String()]; got != want {
			t.Errorf("layer %d of the second image was fetched %d times, want %d", n, got, want)
		}
	}
	checkContent(t, s, second)
}

// TestPullForged pulls an image whose manifest names the blob of another layer than its configuration, which the store
// has. The image is what its configuration says, and the blob is not taken for that layer afterwards.
func TestPullForged(t *testing.T) {
	s, reg := openStore(t), newRegistry(t)
	mine, theirs := rootfsTar(t, "x"), rootfsTar(t, "y")
	if _, err := s.Import(context.Background(), bytes.NewReader(mine), ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	honest := newSample(t, "amd64", theirs)
	forged := newSample(t, "amd64", mine)
	forged.manifest = bytes.ReplaceAll(forged.manifest, []byte(blobOf(t, forged, 0)), []byte(blobOf(t, honest, 0)))
	forged.blobs[blobOf(t, honest, 0)] = compress(t, theirs)
	reg.push(t, forged, "app", "forged")
	reg.push(t, honest, "app", "honest")
	for _, tag := range []string{"forged", "honest"} {
		if _, err := s.Pull(context.Background(), reg.host+"/app:"+tag, PullOptions{}); err != nil {
			t.Fatalf("%s: %v", tag, err)
		}
	}
	checkContent(t, s, forged)
	checkContent(t, s, honest)
}

// TestLoadReuse loads an image with a layer that is in the store above another one: it gets its name, and stays when the
// other goes.
func TestLoadReuse(t *testing.T) {
	s := openStore(t)
	base, patch := rootfsTar(t, "x"), patchTar(t)
	one, two := newSample(t, "amd64", patch, base), newSample(t, "amd64", base, patch)
	for i, img := range []*sample{one, two} {
		path := writeFile(t, archiveOf(t, layoutFiles(t, []*sample{img}, []map[string]string{{containerdAnnotation: "app:" + string(rune('1'+i))}})...))
		if loaded, err := s.Load(context.Background(), path, nil, LoadOptions{}); err != nil || !slices.Equal(loaded, []string{"app:" + string(rune('1'+i))}) {
			t.Fatalf("loaded %q, %v", loaded, err)
		}
	}
	if _, err := s.RemoveImage("app:1", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	checkSample(t, s, two)
	checkContent(t, s, two)
}
