package layers

import (
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// indexes makes indexes of images and keeps them as blobs.
type indexes struct {
	t     *testing.T
	blobs map[digest.Digest][]byte
	kinds map[digest.Digest]string
}

// of returns the entry of an index of entries.
func (x *indexes) of(kind string, entries ...v1.Descriptor) v1.Descriptor {
	data := mustJSON(x.t, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: kind, Manifests: entries})
	d := descriptor(kind, data)
	x.blobs[d.Digest], x.kinds[d.Digest] = data, kind
	return d
}

// attestation returns the entry of what BuildKit puts beside an image.
func (x *indexes) attestation(annotated bool) v1.Descriptor {
	config := mustJSON(x.t, v1.Image{Platform: v1.Platform{OS: "unknown", Architecture: "unknown"}, RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("{}")}}})
	statement := descriptor("application/vnd.in-toto+json", []byte("{}"))
	data := mustJSON(x.t, v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: descriptor(v1.MediaTypeImageConfig, config), Layers: []v1.Descriptor{statement}})
	d := descriptor(v1.MediaTypeImageManifest, data)
	x.blobs[d.Digest], x.kinds[d.Digest] = data, d.MediaType
	x.blobs[digest.FromBytes(config)], x.blobs[statement.Digest] = config, []byte("{}")
	d.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	if annotated {
		d.Platform, d.Annotations = nil, map[string]string{attestationKey: "attestation-manifest"}
	}
	return d
}

// entryOf returns the entry of an image in an index, of no platform for "".
func entryOf(img *sample, arch string) v1.Descriptor {
	d := descriptor(v1.MediaTypeImageManifest, img.manifest)
	if arch != "" {
		d.Platform = &v1.Platform{OS: "linux", Architecture: arch}
	}
	return d
}
