package storetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/layers/internal/core"
)

// Sample is an image made by a test, in the forms in which images travel.
type Sample struct {
	Config   []byte
	Manifest []byte
	Layers   [][]byte // uncompressed
	Blobs    map[digest.Digest][]byte
}

// ID is the id of the image.
func (s *Sample) ID() string { return digest.FromBytes(s.Config).Encoded() }

// NewSample makes an image of uncompressed layers, which it compresses.
func NewSample(t testing.TB, arch string, layers ...[]byte) *Sample {
	t.Helper()
	s := &Sample{Layers: layers, Blobs: map[digest.Digest][]byte{}}
	created := time.Unix(1_700_000_000, 0).UTC()
	config := v1.Image{Created: &created, Platform: v1.Platform{OS: "linux", Architecture: arch},
		RootFS: v1.RootFS{Type: "layers"}}
	config.Config.Cmd = []string{"/bin/sh"}
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	for _, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(layer))
		manifest.Layers = append(manifest.Layers, s.AddBlob(v1.MediaTypeImageLayerGzip, Compress(t, layer)))
	}
	s.Config = withHealthcheck(t, MustJSON(t, config))
	manifest.Config = s.AddBlob(v1.MediaTypeImageConfig, s.Config)
	s.Manifest = MustJSON(t, manifest)
	s.AddBlob(v1.MediaTypeImageManifest, s.Manifest)
	return s
}

// withHealthcheck adds what only docker's configurations have.
func withHealthcheck(t testing.TB, config []byte) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(config, &m); err != nil {
		t.Fatal(err)
	}
	m["config"].(map[string]any)["Healthcheck"] = map[string]any{"Test": []string{"CMD", "true"},
		"Interval": 5 * time.Second}
	m["docker_version"], m["comment"] = "20.10.5", "a comment"
	return MustJSON(t, m)
}

// AddBlob adds a blob and returns its descriptor.
func (s *Sample) AddBlob(mediaType string, data []byte) v1.Descriptor {
	d := core.Descriptor(mediaType, data)
	s.Blobs[d.Digest] = data
	return d
}

// MustJSON returns a value as JSON.
func MustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Compress compresses data with gzip.
func Compress(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// File is a file in an archive.
type File struct {
	Name string
	Data []byte
}

// ArchiveOf returns a tar of files.
func ArchiveOf(t testing.TB, files ...File) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range files {
		if err := tw.WriteHeader(&tar.Header{Name: f.Name, Typeflag: tar.TypeReg, Mode: 0o644,
			Size: int64(len(f.Data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(f.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// DockerItem is an image in the manifest of a docker-archive.
type DockerItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// DockerArchiveOf makes a docker-archive; tags[i] are the names of the i-th image. The manifest comes last, as docker
// writes it.
func DockerArchiveOf(t testing.TB, images []*Sample, tags [][]string) []byte {
	t.Helper()
	var files []File
	var items []DockerItem
	seen := map[string]bool{}
	add := func(name string, data []byte) string {
		if !seen[name] {
			files = append(files, File{name, data})
		}
		seen[name] = true
		return name
	}
	for i, img := range images {
		item := DockerItem{Config: add(img.ID()+".json", img.Config), RepoTags: tags[i]}
		for _, layer := range img.Layers {
			item.Layers = append(item.Layers, add(digest.FromBytes(layer).Encoded()+"/layer.tar", layer))
		}
		items = append(items, item)
	}
	return ArchiveOf(t, append(files, File{"manifest.json", MustJSON(t, items)})...)
}

// LayoutFiles are the files of an image layout; each image has the annotations of the same index.
func LayoutFiles(t testing.TB, images []*Sample, annotations []map[string]string) []File {
	t.Helper()
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	files := []File{{v1.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
	for i, img := range images {
		d := core.Descriptor(v1.MediaTypeImageManifest, img.Manifest)
		d.Annotations = annotations[i]
		index.Manifests = append(index.Manifests, d)
		for sum, data := range img.Blobs {
			files = append(files, File{"blobs/sha256/" + sum.Encoded(), data})
		}
	}
	return append(files, File{v1.ImageIndexFile, MustJSON(t, index)})
}

// WriteFiles writes files below a new directory.
func WriteFiles(t testing.TB, files []File) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// PatchTar is a layer that changes rootfsTar.
func PatchTar(t testing.TB) []byte {
	t.Helper()
	return ArchiveOf(t, File{"etc/.wh.alias", nil}, File{"etc/motd", []byte("hello")})
}

// TarNames returns the names in a tar.
func TarNames(t testing.TB, data []byte) []string {
	t.Helper()
	var names []string
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, hdr.Name)
	}
}

// ContainerdAnnotation holds the whole name of an image in archives of containerd.
const ContainerdAnnotation = "io.containerd.image.name"
