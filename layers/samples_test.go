package layers

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
)

// sample is an image made by a test, in the forms in which images travel.
type sample struct {
	config   []byte
	manifest []byte
	layers   [][]byte // uncompressed
	blobs    map[digest.Digest][]byte
}

func (s *sample) id() string { return digest.FromBytes(s.config).Encoded() }

// newSample makes an image of uncompressed layers, which it compresses.
func newSample(t testing.TB, arch string, layers ...[]byte) *sample {
	t.Helper()
	s := &sample{layers: layers, blobs: map[digest.Digest][]byte{}}
	created := time.Unix(1_700_000_000, 0).UTC()
	config := v1.Image{Created: &created, Platform: v1.Platform{OS: "linux", Architecture: arch}, RootFS: v1.RootFS{Type: "layers"}}
	config.Config.Cmd = []string{"/bin/sh"}
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	for _, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(layer))
		manifest.Layers = append(manifest.Layers, s.addBlob(v1.MediaTypeImageLayerGzip, compress(t, layer)))
	}
	s.config = withHealthcheck(t, mustJSON(t, config))
	manifest.Config = s.addBlob(v1.MediaTypeImageConfig, s.config)
	s.manifest = mustJSON(t, manifest)
	s.addBlob(v1.MediaTypeImageManifest, s.manifest)
	return s
}

// withHealthcheck adds what only docker's configurations have.
func withHealthcheck(t testing.TB, config []byte) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(config, &m); err != nil {
		t.Fatal(err)
	}
	m["config"].(map[string]any)["Healthcheck"] = map[string]any{"Test": []string{"CMD", "true"}, "Interval": 5 * time.Second}
	m["docker_version"], m["comment"] = "20.10.5", "a comment"
	return mustJSON(t, m)
}

func (s *sample) addBlob(mediaType string, data []byte) v1.Descriptor {
	d := descriptor(mediaType, data)
	s.blobs[d.Digest] = data
	return d
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func compress(t testing.TB, data []byte) []byte {
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

// file is a file in an archive.
type file struct {
	name string
	data []byte
}

func archiveOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range files {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// dockerItem is an image in the manifest of a docker-archive.
type dockerItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerArchiveOf makes a docker-archive; tags[i] are the names of the i-th image. The manifest comes last, as docker
// writes it.
func dockerArchiveOf(t testing.TB, images []*sample, tags [][]string) []byte {
	t.Helper()
	var files []file
	var items []dockerItem
	seen := map[string]bool{}
	add := func(name string, data []byte) string {
		if !seen[name] {
			files = append(files, file{name, data})
		}
		seen[name] = true
		return name
	}
	for i, img := range images {
		item := dockerItem{Config: add(img.id()+".json", img.config), RepoTags: tags[i]}
		for _, layer := range img.layers {
			item.Layers = append(item.Layers, add(digest.FromBytes(layer).Encoded()+"/layer.tar", layer))
		}
		items = append(items, item)
	}
	return archiveOf(t, append(files, file{"manifest.json", mustJSON(t, items)})...)
}

// layoutFiles are the files of an image layout; each image has the annotations of the same index.
func layoutFiles(t testing.TB, images []*sample, annotations []map[string]string) []file {
	t.Helper()
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	files := []file{{v1.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
	for i, img := range images {
		d := descriptor(v1.MediaTypeImageManifest, img.manifest)
		d.Annotations = annotations[i]
		index.Manifests = append(index.Manifests, d)
		for sum, data := range img.blobs {
			files = append(files, file{"blobs/sha256/" + sum.Encoded(), data})
		}
	}
	return append(files, file{v1.ImageIndexFile, mustJSON(t, index)})
}

// writeFiles writes files below a new directory.
func writeFiles(t testing.TB, files []file) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// patchTar is a layer that changes rootfsTar.
func patchTar(t testing.TB) []byte {
	t.Helper()
	return archiveOf(t, file{"etc/.wh.alias", nil}, file{"etc/motd", []byte("hello")})
}

func tarNames(t testing.TB, data []byte) []string {
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

// containerdAnnotation holds the whole name of an image in archives of containerd.
const containerdAnnotation = "io.containerd.image.name"
