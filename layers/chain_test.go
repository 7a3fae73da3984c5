package layers_test

import (
	"bytes"
	"context"
	"os"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

// TestChainID holds against vectors worked out by the image specification's formula with other tools.
func TestChainID(t *testing.T) {
	a, b := digest.FromString("a"), digest.FromString("b")
	if got := layers.ChainID("", a); got != a {
		t.Errorf("one layer: %s", got)
	}
	// printf '%s' "sha256:<a> sha256:<b>" | sha256sum
	const two = "sha256:51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676"
	if got := layers.ChainID(a, b); got != two {
		t.Errorf("two layers: %s, want %s", got, two)
	}
}

// TestImageLayers compares what the store says of layers with what the test finds in their tars.
func TestImageLayers(t *testing.T) {
	s := storetest.OpenStore(t)
	base, patch := storetest.RootfsTar(t, "x"), storetest.PatchTar(t)
	lone, both := storetest.NewSample(t, "amd64", base), storetest.NewSample(t, "amd64", base, patch)
	storetest.MustLoad(t, s, lone, "lone:1")
	storetest.MustLoad(t, s, both, "both:1")
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "",
		storetest.MustImage(t, s, "both:1")); err != nil {
		t.Fatal(err)
	}
	got, err := s.ImageLayers(context.Background())
	if err != nil || len(got) != 2 {
		t.Fatalf("%d layers, %v; want 2, one of them shared: %+v", len(got), err, got)
	}
	chain := digest.FromBytes(base)
	for i, want := range []layers.LayerInfo{
		{ChainID: chain, DiffID: digest.FromBytes(base), Size: int64(len(base)), Images: []string{lone.ID()}},
		{ChainID: digest.FromString(chain.String() + " " + digest.FromBytes(patch).String()),
			DiffID: digest.FromBytes(patch),
			Parent: chain, Size: int64(len(patch)), Images: []string{both.ID()}},
	} {
		l := got[i]
		if l.ChainID != want.ChainID || l.DiffID != want.DiffID || l.Parent != want.Parent || l.Size != want.Size ||
			!slices.Equal(l.Images, want.Images) {
			t.Errorf("layer %d is %+v, want %+v", i, l, want)
		}
		if _, err := os.Stat(s.Core().Layout.Diff(l.CacheID)); err != nil {
			t.Errorf("layer %d: %v", i, err)
		}
		if n := storetest.TarSplitEntries(t, l.TarSplit); n == 0 {
			t.Errorf("layer %d: %s has no entries", i, l.TarSplit)
		}
		for _, ref := range []string{l.ChainID.String(), l.ChainID.Encoded()[:12], l.CacheID, l.DiffID.String()} {
			if found, err := s.ImageLayer(context.Background(), ref); err != nil || found.ChainID != l.ChainID {
				t.Errorf("%s: %+v, %v", ref, found, err)
			}
		}
	}
	for _, ref := range []string{"", "sha256:", "xyz", storetest.ContainerID(1)} {
		if _, err := s.ImageLayer(context.Background(), ref); !errdefs.IsNotFound(err) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

// TestSameChainElsewhere imports one tar from pipes into two stores: the chain id is the content's, the cache id the
// store's.
func TestSameChainElsewhere(t *testing.T) {
	var chains, caches []string
	for range 2 {
		s := storetest.OpenStore(t)
		if _, err := archive.Import(context.Background(), s,
			storetest.OnlyReader{Reader: bytes.NewReader(storetest.RootfsTar(t, "x"))},
			archive.ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		layers, err := s.ImageLayers(context.Background())
		if err != nil || len(layers) != 1 {
			t.Fatal(layers, err)
		}
		chains, caches = append(chains, layers[0].ChainID.String()), append(caches, layers[0].CacheID)
	}
	if chains[0] != chains[1] || caches[0] == caches[1] {
		t.Errorf("chain ids %q, cache ids %q", chains, caches)
	}
}

func TestUsage(t *testing.T) {
	s := storetest.OpenStore(t)
	base, patch, other := storetest.RootfsTar(t, "x"), storetest.PatchTar(t),
		storetest.ArchiveOf(t, storetest.File{Name: "other", Data: make([]byte, 3000)})
	b, p, o := int64(len(base)), int64(len(patch)), int64(len(other))
	storetest.MustLoad(t, s, storetest.NewSample(t, "amd64", base, patch), "one:1")
	storetest.MustLoad(t, s, storetest.NewSample(t, "amd64", base, other), "two:1")
	u, err := s.Usage(context.Background())
	if err != nil || u.Layers != b+p+o || len(u.Kept) != 0 || len(u.Images) != 2 {
		t.Fatalf("%+v, %v; want %d bytes of layers", u, err, b+p+o)
	}
	for _, img := range u.Images {
		want := map[string]int64{"one:1": p, "two:1": o}[img.RepoTags[0]]
		if img.Unique != want || img.Shared != b {
			t.Errorf("%s has %d bytes of its own and %d shared, want %d and %d", img.RepoTags[0], img.Unique,
				img.Shared, want, b)
		}
	}
	for name, want := range map[string]int64{"": b + p + o, "one:1": o, "two:1": p} {
		if got := u.Reclaimable(func(img layers.ImageUsage) bool { return img.RepoTags[0] == name }); got != want {
			t.Errorf("with %q active, %d bytes are reclaimable, want %d", name, got, want)
		}
	}
	if u.Reclaimable(func(layers.ImageUsage) bool { return true }) != 0 {
		t.Error("with all images active, some of them is reclaimable")
	}
	// A layer of no image is what remains of a pull.
	if _, _, err := s.Core().Lib.PutLayer("", "", nil, "", false, nil, bytes.NewReader(patch)); err != nil {
		t.Fatal(err)
	}
	if u, err = s.Usage(context.Background()); err != nil || u.Layers != b+p+o || len(u.Kept) != 1 ||
		u.Kept[0].Size != p {
		t.Errorf("%+v, %v; want one kept layer of %d bytes", u, err, p)
	}
}
