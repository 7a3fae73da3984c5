package tests

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// picture is an image to be put into an archive.
type picture struct {
	name   string // with a tag
	config v1.Image
	layers [][]byte // tars, from the lowest up
}

// newPicture returns an image for this machine's architecture.
func newPicture(name string, layers ...[]byte) picture {
	p := picture{name: name, layers: layers}
	p.config.Architecture, p.config.OS = runtime.GOARCH, "linux"
	p.config.Config.Cmd = []string{"sh"}
	p.config.RootFS.Type = "layers"
	for _, layer := range layers {
		p.config.RootFS.DiffIDs = append(p.config.RootFS.DiffIDs, digest.FromBytes(layer))
	}
	return p
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// addHistory tells of a step by which the image was made.
func (p *picture) addHistory(by string, empty bool) {
	created := time.Unix(1700000000, 0).UTC()
	p.config.History = append(p.config.History, v1.History{Created: &created, CreatedBy: by, EmptyLayer: empty})
}

// id is the image's ID: the digest of its configuration.
func (p picture) id(t *testing.T) string { return digest.FromBytes(encode(t, p.config)).String() }

// dockerArchive returns the image as docker save writes it.
func (p picture) dockerArchive(t *testing.T) []byte {
	t.Helper()
	return dockerArchive(t, p)
}

// dockerArchive returns images as docker save writes them.
func dockerArchive(t *testing.T, pictures ...picture) []byte {
	t.Helper()
	var entries []entry
	var manifest []map[string]any
	packed := map[string]bool{}
	add := func(name string, content []byte) {
		if !packed[name] {
			entries = append(entries, file(name, 0o644, string(content)))
		}
		packed[name] = true
	}
	for _, p := range pictures {
		config := encode(t, p.config)
		configName := digest.FromBytes(config).Encoded() + ".json"
		add(configName, config)
		var names []string
		for _, layer := range p.layers {
			name := digest.FromBytes(layer).Encoded() + "/layer.tar"
			names = append(names, name)
			add(name, layer)
		}
		manifest = append(manifest, map[string]any{"Config": configName, "RepoTags": []string{p.name}, "Layers": names})
	}
	return pack(t, append(entries, file("manifest.json", 0o644, string(encode(t, manifest))))...)
}

// ociArchive returns the image as a tar of an OCI layout, with compressed layers.
func (p picture) ociArchive(t *testing.T) []byte {
	t.Helper()
	entries := []entry{file("oci-layout", 0o644, `{"imageLayoutVersion":"1.0.0"}`)}
	add := func(mediaType string, blob []byte) v1.Descriptor {
		d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
		entries = append(entries, file("blobs/sha256/"+d.Digest.Encoded(), 0o644, string(blob)))
		return d
	}
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	manifest.Config = add(v1.MediaTypeImageConfig, encode(t, p.config))
	for _, layer := range p.layers {
		manifest.Layers = append(manifest.Layers, add(v1.MediaTypeImageLayerGzip, compress(t, layer)))
	}
	described := add(v1.MediaTypeImageManifest, encode(t, manifest))
	described.Annotations = map[string]string{v1.AnnotationRefName: p.name}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{described}}
	return pack(t, append(entries, file("index.json", 0o644, string(encode(t, index))))...)
}

func compress(t *testing.T, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// upperLayer changes busyboxTree: it deletes, replaces and adds, and removes a directory and makes it again.
func upperLayer(t *testing.T) []byte {
	return pack(t, file("etc/.wh.secret", 0, ""), file("etc/group", 0o640, "root:x:0:\n").owned(0, 42),
		directory("home/alice", 0o755), file("home/alice/.wh..wh..opq", 0, ""),
		file("home/alice/only", 0o600, "only\n").owned(1000, 1000),
		file("etc/.wh.never-was-there", 0, ""))
}
