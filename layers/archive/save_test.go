package archive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

// TestSave takes images through archives of all forms, and compares them byte for byte.
func TestSave(t *testing.T) {
	base := storetest.RootfsTar(t, "x")
	one, two := storetest.NewSample(t, runtime.GOARCH, base, storetest.PatchTar(t)),
		storetest.NewSample(t, "riscv64", base, storetest.ArchiveOf(t, storetest.File{Name: "y", Data: []byte("y")}))
	from := storetest.OpenStore(t)
	storetest.LoadSamples(t, from, []*storetest.Sample{one, two},
		[][]string{{"one:1", "registry.example/one:latest"}, nil})
	for _, opts := range []archive.SaveOptions{
		{}, {Compression: archive.Gzip}, {Compression: archive.Zstd},
		{Format: archive.OCIArchive}, {Format: archive.OCIArchive, Compression: archive.NoCompression},
		{Format: archive.OCIArchive, Compression: archive.Zstd},
	} {
		t.Run(string(opts.Format+"-")+string(opts.Compression), func(t *testing.T) {
			data := storetest.MustSave(t, from, opts, "one:1", "registry.example/one", two.ID()[:12])
			if again := storetest.MustSave(t, from, opts, "one:1", "registry.example/one",
				two.ID()[:12]); !bytes.Equal(data, again) {
				t.Error("a second archive of the same images differs")
			}
			to := storetest.OpenStore(t)
			loaded, err := archive.Load(context.Background(), to, "-", bytes.NewReader(data), archive.LoadOptions{})
			if want := []string{"one:1", "registry.example/one:latest", "sha256:" + two.ID()}; err != nil ||
				!slices.Equal(loaded, want) {
				t.Fatalf("loaded %q, %v; want %q", loaded, err, want)
			}
			storetest.CheckSample(t, to, one)
			for i, layer := range storetest.MustImage(t, to, two.ID()).Layers {
				var out bytes.Buffer
				if err := to.Core().WriteLayer(&out, layer.ID, layer.DiffID); err != nil ||
					!bytes.Equal(out.Bytes(), two.Layers[i]) {
					t.Errorf("layer %d is not as it was: %v", i, err)
				}
			}
			if layers, err := to.Core().Lib.Layers(); err != nil || len(layers) != 3 {
				t.Errorf("%d layers, %v; want the base once", len(layers), err)
			}
			if left, err := os.ReadDir(from.Core().TempRoot()); err != nil && !os.IsNotExist(err) || len(left) > 0 {
				t.Errorf("left over: %v, %v", left, err)
			}
		})
	}
}

// TestSaveDocker looks into a docker-archive: configuration and layers are the original bytes, shared ones are there
// once, and a name without a tag stands for all tags.
func TestSaveDocker(t *testing.T) {
	base := storetest.RootfsTar(t, "x")
	one, two := storetest.NewSample(t, "amd64", base, storetest.PatchTar(t)), storetest.NewSample(t, "amd64", base)
	s := storetest.OpenStore(t)
	storetest.LoadSamples(t, s, []*storetest.Sample{one, two}, [][]string{{"app:1", "app:2"}, {"app:3"}})
	files := storetest.TarFiles(t, storetest.MustSave(t, s, archive.SaveOptions{}, "app"))
	var items []storetest.DockerItem
	if err := json.Unmarshal(files["manifest.json"], &items); err != nil || len(items) != 2 {
		t.Fatalf("manifest %s: %v", files["manifest.json"], err)
	}
	for _, item := range items {
		img := one
		if len(item.RepoTags) == 1 {
			img = two
		}
		if !bytes.Equal(files[item.Config], img.Config) || len(item.Layers) != len(img.Layers) {
			t.Errorf("image %+v", item)
		}
		for i, name := range item.Layers {
			if !bytes.Equal(files[name], img.Layers[i]) {
				t.Errorf("%s is not the layer", name)
			}
		}
	}
	if len(files) != 1+2+2 {
		t.Errorf("%d files, want the manifest, two configurations and two layers", len(files))
	}
}

// TestSaveOCI looks into an oci-archive: an entry for each name, and blobs that are what their names say.
func TestSaveOCI(t *testing.T) {
	img := storetest.NewSample(t, "arm64", storetest.RootfsTar(t, "x"), storetest.PatchTar(t))
	s := storetest.OpenStore(t)
	storetest.LoadSamples(t, s, []*storetest.Sample{img}, [][]string{{"app:1", "example.org/app:2"}})
	files := storetest.TarFiles(t, storetest.MustSave(t, s,
		archive.SaveOptions{Format: archive.OCIArchive, Compression: archive.NoCompression}, "app:1",
		"example.org/app:2"))
	var index v1.Index
	if err := json.Unmarshal(files[v1.ImageIndexFile], &index); err != nil || len(index.Manifests) != 2 {
		t.Fatalf("index %s: %v", files[v1.ImageIndexFile], err)
	}
	for i, want := range []string{"docker.io/library/app:1", "example.org/app:2"} {
		d := index.Manifests[i]
		if d.Annotations[storetest.ContainerdAnnotation] != want ||
			d.Annotations[v1.AnnotationRefName] != want[len(want)-1:] || d.Platform.Architecture != "arm64" {
			t.Errorf("entry %+v, want the name %s", d, want)
		}
	}
	for name, data := range files {
		if encoded, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && encoded != digest.FromBytes(data).Encoded() {
			t.Errorf("%s has another digest", name)
		}
	}
	for _, layer := range append(slices.Clone(img.Layers), img.Config) {
		if files["blobs/sha256/"+digest.FromBytes(layer).Encoded()] == nil {
			t.Error("a layer or the configuration is missing")
		}
	}
}

// TestSaveBad checks that what is damaged is not saved as if it were whole.
func TestSaveBad(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app:1", "x")
	ctx := context.Background()
	if err := archive.Save(ctx, s, io.Discard, []string{"app:1", "missing"},
		archive.SaveOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("a missing image: %v", err)
	}
	for _, opts := range []archive.SaveOptions{{Format: "zip"}, {Compression: "best"}} {
		if err := archive.Save(ctx, s, io.Discard, []string{"app:1"}, opts); err == nil {
			t.Errorf("%+v: no error", opts)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := archive.Save(cancelled, s, io.Discard, []string{"app:1"}, archive.SaveOptions{}); !errors.Is(err,
		context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	other := img.Layers[0]
	other.DiffID = digest.FromString("another layer")
	if err := s.Core().WriteLayer(io.Discard, other.ID, other.DiffID); err == nil ||
		!strings.Contains(err.Error(), "damaged") {
		t.Errorf("a layer with another digest: %v", err)
	}
	path := filepath.Join(s.Core().Layout.Diff(img.TopLayer), "bin", "su")
	if err := os.WriteFile(path, []byte(strings.Repeat("us", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []archive.ArchiveFormat{archive.DockerArchive, archive.OCIArchive} {
		if err := archive.Save(ctx, s, io.Discard, []string{"app:1"},
			archive.SaveOptions{Format: format}); err == nil ||
			!strings.Contains(err.Error(), img.Layers[0].DiffID.String()) {
			t.Errorf("%s of a layer that was changed on disk: %v", format, err)
		}
	}
}

// TestLoadManyPlatforms loads the host's image of an index that has several, from a directory.
func TestLoadManyPlatforms(t *testing.T) {
	mine, other := storetest.NewSample(t, runtime.GOARCH, storetest.RootfsTar(t, "x"), storetest.PatchTar(t)),
		storetest.NewSample(t, "s390x", storetest.RootfsTar(t, "y"), storetest.PatchTar(t))
	files := storetest.LayoutFiles(t, []*storetest.Sample{other, mine}, []map[string]string{nil, nil})
	inner := v1.Index{MediaType: v1.MediaTypeImageIndex}
	inner.SchemaVersion = 2
	for _, img := range []struct {
		*storetest.Sample
		arch string
	}{{other, "s390x"}, {mine, runtime.GOARCH}} {
		d := core.Descriptor(v1.MediaTypeImageManifest, img.Manifest)
		d.Platform = &v1.Platform{OS: "linux", Architecture: img.arch}
		inner.Manifests = append(inner.Manifests, d)
	}
	outer := v1.Index{MediaType: v1.MediaTypeImageIndex}
	outer.SchemaVersion = 2
	d := core.Descriptor(v1.MediaTypeImageIndex, storetest.MustJSON(t, inner))
	d.Annotations = map[string]string{storetest.ContainerdAnnotation: "docker.io/library/multi:1"}
	outer.Manifests = []v1.Descriptor{d}
	files[len(files)-1].Data = storetest.MustJSON(t, outer)
	files = append(files, storetest.File{Name: "blobs/sha256/" + d.Digest.Encoded(),
		Data: storetest.MustJSON(t, inner)})
	for _, path := range []string{storetest.WriteFiles(t, files),
		storetest.WriteFile(t, storetest.ArchiveOf(t, files...))} {
		s := storetest.OpenStore(t)
		if loaded, err := archive.Load(context.Background(), s, path, nil, archive.LoadOptions{}); err != nil ||
			!slices.Equal(loaded, []string{"multi:1"}) {
			t.Fatalf("loaded %q, %v", loaded, err)
		}
		storetest.CheckSample(t, s, mine)
		if images, err := s.Images(context.Background()); err != nil || len(images) != 1 {
			t.Errorf("%d images, %v", len(images), err)
		}
	}
}

// TestLoadPresent loads images that were made here and are there still: they get their names back, and nothing else
// happens.
func TestLoadPresent(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app:1", "x")
	for _, format := range []archive.ArchiveFormat{archive.DockerArchive, archive.OCIArchive} {
		data := storetest.MustSave(t, s, archive.SaveOptions{Format: format}, "app:1")
		if _, err := s.Untag(context.Background(), "app:1"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if loaded, err := archive.Load(context.Background(), s, "-", bytes.NewReader(data),
				archive.LoadOptions{}); err != nil || !slices.Equal(loaded, []string{"app:1"}) {
				t.Fatalf("%s: loaded %q, %v", format, loaded, err)
			}
		}
		if got := storetest.MustImage(t, s, "app:1"); got.ID != img.ID {
			t.Errorf("%s: app:1 is %s, want %s", format, got.ID, img.ID)
		}
	}
	if layers, err := s.Core().Lib.Layers(); err != nil || len(layers) != 1 {
		t.Errorf("%d layers, %v", len(layers), err)
	}
}
