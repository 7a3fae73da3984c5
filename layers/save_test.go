package layers

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
)

// TestSave takes images through archives of all forms, and compares them byte for byte.
func TestSave(t *testing.T) {
	base := rootfsTar(t, "x")
	one, two := newSample(t, runtime.GOARCH, base, patchTar(t)), newSample(t, "riscv64", base, archiveOf(t, file{"y", []byte("y")}))
	from := openStore(t)
	loadSamples(t, from, []*sample{one, two}, [][]string{{"one:1", "registry.example/one:latest"}, nil})
	for _, opts := range []SaveOptions{
		{}, {Compression: Gzip}, {Compression: Zstd},
		{Format: OCIArchive}, {Format: OCIArchive, Compression: NoCompression}, {Format: OCIArchive, Compression: Zstd},
	} {
		t.Run(string(opts.Format+"-")+string(opts.Compression), func(t *testing.T) {
			data := mustSave(t, from, opts, "one:1", "registry.example/one", two.id()[:12])
			if again := mustSave(t, from, opts, "one:1", "registry.example/one", two.id()[:12]); !bytes.Equal(data, again) {
				t.Error("a second archive of the same images differs")
			}
			to := openStore(t)
			loaded, err := to.Load(context.Background(), "-", bytes.NewReader(data), LoadOptions{})
			if want := []string{"one:1", "registry.example/one:latest", "sha256:" + two.id()}; err != nil || !slices.Equal(loaded, want) {
				t.Fatalf("loaded %q, %v; want %q", loaded, err, want)
			}
			checkSample(t, to, one)
			for i, layer := range mustImage(t, to, two.id()).Layers {
				var out bytes.Buffer
				if err := to.writeLayer(&out, layer.ID, layer.DiffID); err != nil || !bytes.Equal(out.Bytes(), two.layers[i]) {
					t.Errorf("layer %d is not as it was: %v", i, err)
				}
			}
			if layers, err := to.lib.Layers(); err != nil || len(layers) != 3 {
				t.Errorf("%d layers, %v; want the base once", len(layers), err)
			}
			if left, err := os.ReadDir(from.tempRoot()); err != nil && !os.IsNotExist(err) || len(left) > 0 {
				t.Errorf("left over: %v, %v", left, err)
			}
		})
	}
}

// TestSaveDocker looks into a docker-archive: configuration and layers are the original bytes, shared ones are there
// once, and a name without a tag stands for all tags.
func TestSaveDocker(t *testing.T) {
	base := rootfsTar(t, "x")
	one, two := newSample(t, "amd64", base, patchTar(t)), newSample(t, "amd64", base)
	s := openStore(t)
	loadSamples(t, s, []*sample{one, two}, [][]string{{"app:1", "app:2"}, {"app:3"}})
	files := tarFiles(t, mustSave(t, s, SaveOptions{}, "app"))
	var items []dockerItem
	if err := json.Unmarshal(files["manifest.json"], &items); err != nil || len(items) != 2 {
		t.Fatalf("manifest %s: %v", files["manifest.json"], err)
	}
	for _, item := range items {
		img := one
		if len(item.RepoTags) == 1 {
			img = two
		}
		if !bytes.Equal(files[item.Config], img.config) || len(item.Layers) != len(img.layers) {
			t.Errorf("image %+v", item)
		}
		for i, name := range item.Layers {
			if !bytes.Equal(files[name], img.layers[i]) {
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
	img := newSample(t, "arm64", rootfsTar(t, "x"), patchTar(t))
	s := openStore(t)
	loadSamples(t, s, []*sample{img}, [][]string{{"app:1", "example.org/app:2"}})
	files := tarFiles(t, mustSave(t, s, SaveOptions{Format: OCIArchive, Compression: NoCompression}, "app:1", "example.org/app:2"))
	var index v1.Index
	if err := json.Unmarshal(files[v1.ImageIndexFile], &index); err != nil || len(index.Manifests) != 2 {
		t.Fatalf("index %s: %v", files[v1.ImageIndexFile], err)
	}
	for i, want := range []string{"docker.io/library/app:1", "example.org/app:2"} {
		d := index.Manifests[i]
		if d.Annotations[containerdAnnotation] != want || d.Annotations[v1.AnnotationRefName] != want[len(want)-1:] || d.Platform.Architecture != "arm64" {
			t.Errorf("entry %+v, want the name %s", d, want)
		}
	}
	for name, data := range files {
		if encoded, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && encoded != digest.FromBytes(data).Encoded() {
			t.Errorf("%s has another digest", name)
		}
	}
	for _, layer := range append(slices.Clone(img.layers), img.config) {
		if files["blobs/sha256/"+digest.FromBytes(layer).Encoded()] == nil {
			t.Error("a layer or the configuration is missing")
		}
	}
}

// TestSaveBad checks that what is damaged is not saved as if it were whole.
func TestSaveBad(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "app:1", "x")
	ctx := context.Background()
	if err := s.Save(ctx, io.Discard, []string{"app:1", "missing"}, SaveOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("a missing image: %v", err)
	}
	for _, opts := range []SaveOptions{{Format: "zip"}, {Compression: "best"}} {
		if err := s.Save(ctx, io.Discard, []string{"app:1"}, opts); err == nil {
			t.Errorf("%+v: no error", opts)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Save(cancelled, io.Discard, []string{"app:1"}, SaveOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	other := img.Layers[0]
	other.DiffID = digest.FromString("another layer")
	if err := s.writeLayer(io.Discard, other.ID, other.DiffID); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a layer with another digest: %v", err)
	}
	path := filepath.Join(s.layout.diff(img.TopLayer), "bin", "su")
	if err := os.WriteFile(path, []byte(strings.Repeat("us", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []ArchiveFormat{DockerArchive, OCIArchive} {
		if err := s.Save(ctx, io.Discard, []string{"app:1"}, SaveOptions{Format: format}); err == nil || !strings.Contains(err.Error(), img.Layers[0].DiffID.String()) {
			t.Errorf("%s of a layer that was changed on disk: %v", format, err)
		}
	}
}

// TestLoadManyPlatforms loads the host's image of an index that has several, from a directory.
func TestLoadManyPlatforms(t *testing.T) {
	mine, other := newSample(t, runtime.GOARCH, rootfsTar(t, "x"), patchTar(t)), newSample(t, "s390x", rootfsTar(t, "y"), patchTar(t))
	files := layoutFiles(t, []*sample{other, mine}, []map[string]string{nil, nil})
	inner := v1.Index{MediaType: v1.MediaTypeImageIndex}
	inner.SchemaVersion = 2
	for _, img := range []struct {
		*sample
		arch string
	}{{other, "s390x"}, {mine, runtime.GOARCH}} {
		d := descriptor(v1.MediaTypeImageManifest, img.manifest)
		d.Platform = &v1.Platform{OS: "linux", Architecture: img.arch}
		inner.Manifests = append(inner.Manifests, d)
	}
	outer := v1.Index{MediaType: v1.MediaTypeImageIndex}
	outer.SchemaVersion = 2
	d := descriptor(v1.MediaTypeImageIndex, mustJSON(t, inner))
	d.Annotations = map[string]string{containerdAnnotation: "docker.io/library/multi:1"}
	outer.Manifests = []v1.Descriptor{d}
	files[len(files)-1].data = mustJSON(t, outer)
	files = append(files, file{"blobs/sha256/" + d.Digest.Encoded(), mustJSON(t, inner)})
	for _, path := range []string{writeFiles(t, files), writeFile(t, archiveOf(t, files...))} {
		s := openStore(t)
		if loaded, err := s.Load(context.Background(), path, nil, LoadOptions{}); err != nil || !slices.Equal(loaded, []string{"multi:1"}) {
			t.Fatalf("loaded %q, %v", loaded, err)
		}
		checkSample(t, s, mine)
		if images, err := s.Images(); err != nil || len(images) != 1 {
			t.Errorf("%d images, %v", len(images), err)
		}
	}
}

// TestLoadPresent loads images that were made here and are there still: they get their names back, and nothing else
// happens.
func TestLoadPresent(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "app:1", "x")
	for _, format := range []ArchiveFormat{DockerArchive, OCIArchive} {
		data := mustSave(t, s, SaveOptions{Format: format}, "app:1")
		if _, err := s.Untag("app:1"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if loaded, err := s.Load(context.Background(), "-", bytes.NewReader(data), LoadOptions{}); err != nil || !slices.Equal(loaded, []string{"app:1"}) {
				t.Fatalf("%s: loaded %q, %v", format, loaded, err)
			}
		}
		if got := mustImage(t, s, "app:1"); got.ID != img.ID {
			t.Errorf("%s: app:1 is %s, want %s", format, got.ID, img.ID)
		}
	}
	if layers, err := s.lib.Layers(); err != nil || len(layers) != 1 {
		t.Errorf("%d layers, %v", len(layers), err)
	}
}
