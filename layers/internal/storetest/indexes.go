package storetest

import (
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/intake"
)

// Indexes makes indexes of images and keeps them as blobs.
type Indexes struct {
	T     *testing.T
	Blobs map[digest.Digest][]byte
	Kinds map[digest.Digest]string
}

// NewIndexes returns no index yet.
func NewIndexes(t *testing.T) *Indexes {
	return &Indexes{T: t, Blobs: map[digest.Digest][]byte{}, Kinds: map[digest.Digest]string{}}
}

// Of returns the entry of an index of entries.
func (x *Indexes) Of(kind string, entries ...v1.Descriptor) v1.Descriptor {
	data := MustJSON(x.T, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: kind, Manifests: entries})
	d := core.Descriptor(kind, data)
	x.Blobs[d.Digest], x.Kinds[d.Digest] = data, kind
	return d
}

// Attestation returns the entry of what BuildKit puts beside an image.
func (x *Indexes) Attestation(annotated bool) v1.Descriptor {
	config := MustJSON(x.T, v1.Image{Platform: v1.Platform{OS: "unknown", Architecture: "unknown"},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("{}")}}})
	statement := core.Descriptor("application/vnd.in-toto+json", []byte("{}"))
	data := MustJSON(x.T, v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    core.Descriptor(v1.MediaTypeImageConfig, config), Layers: []v1.Descriptor{statement}})
	d := core.Descriptor(v1.MediaTypeImageManifest, data)
	x.Blobs[d.Digest], x.Kinds[d.Digest] = data, d.MediaType
	x.Blobs[digest.FromBytes(config)], x.Blobs[statement.Digest] = config, []byte("{}")
	d.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	if annotated {
		d.Platform, d.Annotations = nil, map[string]string{intake.AttestationKey: "attestation-manifest"}
	}
	return d
}

// EntryOf returns the entry of an image in an index, of no platform for "".
func EntryOf(img *Sample, arch string) v1.Descriptor {
	d := core.Descriptor(v1.MediaTypeImageManifest, img.Manifest)
	if arch != "" {
		d.Platform = &v1.Platform{OS: "linux", Architecture: arch}
	}
	return d
}
