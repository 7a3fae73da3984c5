package intake_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/progress"
	"github.com/rcrun/rcrun/layers/registry"
)

// TestPullImported pulls an image whose lower layer has been imported, and another that has the layer above another
// one: its blob is not fetched.
func TestPullImported(t *testing.T) {
	s, reg := storetest.OpenStore(t), storetest.NewRegistry(t)
	base, patch := storetest.RootfsTar(t, "x"), storetest.PatchTar(t)
	if _, err := archive.Import(context.Background(), s, bytes.NewReader(base),
		archive.ImportOptions{Name: "imported"}); err != nil {
		t.Fatal(err)
	}
	first, second := storetest.NewSample(t, "amd64", base, patch),
		storetest.NewSample(t, "amd64", patch, base,
			storetest.ArchiveOf(t, storetest.File{Name: "new", Data: []byte("n")}))
	for tag, img := range map[string]*storetest.Sample{"1": first, "2": second} {
		reg.Push(t, img, "app", tag)
	}
	var states storetest.Recorder
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/app:1",
		registry.PullOptions{Progress: &states}); err != nil {
		t.Fatal(err)
	}
	if reg.Fetched[storetest.BlobOf(t, first, 0).String()] != 0 ||
		reg.Fetched[storetest.BlobOf(t, first, 1).String()] != 1 ||
		states.States[storetest.BlobOf(t, first, 0)] != progress.LayerExists {
		t.Errorf("fetched %v; layers are %v", reg.Fetched, states.States)
	}
	storetest.CheckSample(t, s, first)
	storetest.CheckContent(t, s, first)
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/app:2", registry.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	for n, want := range []int{1, 0, 1} {
		if got := reg.Fetched[storetest.BlobOf(t, second, n).String()]; got != want {
			t.Errorf("layer %d of the second image was fetched %d times, want %d", n, got, want)
		}
	}
	storetest.CheckContent(t, s, second)
}

// TestPullForged pulls an image whose manifest names the blob of another layer than its configuration, which the store
// has. The image is what its configuration says, and the blob is not taken for that layer afterwards.
func TestPullForged(t *testing.T) {
	s, reg := storetest.OpenStore(t), storetest.NewRegistry(t)
	mine, theirs := storetest.RootfsTar(t, "x"), storetest.RootfsTar(t, "y")
	if _, err := archive.Import(context.Background(), s, bytes.NewReader(mine), archive.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	honest := storetest.NewSample(t, "amd64", theirs)
	forged := storetest.NewSample(t, "amd64", mine)
	forged.Manifest = bytes.ReplaceAll(forged.Manifest, []byte(storetest.BlobOf(t, forged, 0)),
		[]byte(storetest.BlobOf(t, honest, 0)))
	forged.Blobs[storetest.BlobOf(t, honest, 0)] = storetest.Compress(t, theirs)
	reg.Push(t, forged, "app", "forged")
	reg.Push(t, honest, "app", "honest")
	for _, tag := range []string{"forged", "honest"} {
		if _, err := registry.Pull(context.Background(), s, reg.Host+"/app:"+tag, registry.PullOptions{}); err != nil {
			t.Fatalf("%s: %v", tag, err)
		}
	}
	storetest.CheckContent(t, s, forged)
	storetest.CheckContent(t, s, honest)
}

// TestLoadReuse loads an image with a layer that is in the store above another one: it gets its name, and stays when
// the other goes.
func TestLoadReuse(t *testing.T) {
	s := storetest.OpenStore(t)
	base, patch := storetest.RootfsTar(t, "x"), storetest.PatchTar(t)
	one, two := storetest.NewSample(t, "amd64", patch, base), storetest.NewSample(t, "amd64", base, patch)
	for i, img := range []*storetest.Sample{one, two} {
		path := storetest.WriteFile(t, storetest.ArchiveOf(t,
			storetest.LayoutFiles(t, []*storetest.Sample{img},
				[]map[string]string{{storetest.ContainerdAnnotation: "app:" + string(rune('1'+i))}})...))
		if loaded, err := archive.Load(context.Background(), s, path, nil, archive.LoadOptions{}); err != nil ||
			!slices.Equal(loaded, []string{"app:" + string(rune('1'+i))}) {
			t.Fatalf("loaded %q, %v", loaded, err)
		}
	}
	if _, err := s.RemoveImage(context.Background(), "app:1", layers.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.CheckSample(t, s, two)
	storetest.CheckContent(t, s, two)
}
