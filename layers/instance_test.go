package layers

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
)

// TestIndexShapes loads and pulls an image from indexes of every shape.
func TestIndexShapes(t *testing.T) {
	here, other := newSample(t, runtime.GOARCH, rootfsTar(t, "here"), patchTar(t)), newSample(t, "s390x", rootfsTar(t, "other"))
	x := &indexes{t, map[digest.Digest][]byte{}, map[digest.Digest]string{}}
	const oci, docker = v1.MediaTypeImageIndex, manifest.DockerV2ListMediaType
	mine, others := entryOf(here, runtime.GOARCH), entryOf(other, "s390x")
	inner := x.of(oci, others, mine)
	forOthers := x.of(oci, entryOf(other, ""))
	forOthers.Platform = others.Platform
	forMe := x.of(oci, entryOf(here, ""))
	forMe.Platform = mine.Platform
	for name, top := range map[string]v1.Descriptor{
		"index":                          inner,
		"list of docker":                 x.of(docker, others, mine),
		"index in an index":              x.of(oci, inner),
		"three within each other":        x.of(oci, x.of(oci, inner)),
		"five within each other":         x.of(oci, x.of(oci, x.of(oci, x.of(oci, inner)))),
		"list of docker in an index":     x.of(oci, x.of(docker, others, mine)),
		"platform of the index":          x.of(oci, forOthers, forMe),
		"attestation before the image":   x.of(oci, x.attestation(false), mine),
		"annotated attestation":          x.of(oci, x.attestation(true), entryOf(here, "")),
		"attestation in an inner index":  x.of(oci, x.of(oci, x.attestation(false), mine, x.attestation(false))),
		"the same index twice":           x.of(oci, x.of(oci, inner), inner, inner),
		"image without a platform first": x.of(oci, entryOf(other, ""), mine),
	} {
		s := openStore(t)
		top.Annotations = map[string]string{containerdAnnotation: "docker.io/library/app:1"}
		loaded, err := s.Load(context.Background(), "-", bytes.NewReader(x.archive([]*sample{here, other}, top)), LoadOptions{})
		if err != nil || !slices.Equal(loaded, []string{"app:1"}) {
			t.Errorf("%s: loaded %q, %v", name, loaded, err)
			continue
		}
		checkSample(t, s, here)

		reg, s := newRegistry(t), openStore(t)
		data := x.push(reg, top, here, other)
		pulled, err := s.Pull(context.Background(), reg.host+"/app:1", PullOptions{})
		if err != nil || pulled.ID != here.id() || pulled.RepoDigest != digest.FromBytes(data) {
			t.Errorf("%s: pulled %+v, %v", name, pulled, err)
			continue
		}
		checkSample(t, s, here)
		if found, err := s.Image(reg.host + "/app@" + top.Digest.String()); err != nil || found.ID != here.id() {
			t.Errorf("%s: by the digest of the index: %+v, %v", name, found, err)
		}
	}
}

// archive makes an oci-archive with the given entries in its index.
func (x *indexes) archive(images []*sample, entries ...v1.Descriptor) []byte {
	files := layoutFiles(x.t, images, make([]map[string]string, len(images)))
	for d, data := range x.blobs {
		files = append(files, file{"blobs/sha256/" + d.Encoded(), data})
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: entries}
	for i := range files {
		if files[i].name == v1.ImageIndexFile {
			files[i].data = mustJSON(x.t, index)
		}
	}
	return archiveOf(x.t, files...)
}

// push puts images and indexes into a registry, the top one as app:1, and returns that.
func (x *indexes) push(reg *testRegistry, top v1.Descriptor, images ...*sample) []byte {
	for _, img := range images {
		reg.push(x.t, img, "app", "")
	}
	// The registry wants to have what an index leads to before it takes the index.
	var put func(d v1.Descriptor)
	put = func(d v1.Descriptor) {
		data := x.blobs[d.Digest]
		if data == nil {
			return
		}
		for _, inner := range entriesIn(x.t, data) {
			put(inner)
		}
		reg.put(x.t, "/v2/app/manifests/"+d.Digest.String(), x.kinds[d.Digest], data)
	}
	put(top)
	reg.put(x.t, "/v2/app/manifests/1", top.MediaType, x.blobs[top.Digest])
	return x.blobs[top.Digest]
}

func entriesIn(t *testing.T, data []byte) []v1.Descriptor {
	t.Helper()
	index, err := manifest.OCI1IndexFromManifest(data)
	if err != nil {
		return nil // a manifest
	}
	return index.Manifests
}

// TestAttestationBesideImage loads layouts whose index has attestations beside images, or nothing else.
func TestAttestationBesideImage(t *testing.T) {
	img := newSample(t, runtime.GOARCH, rootfsTar(t, "x"), patchTar(t))
	x := &indexes{t, map[digest.Digest][]byte{}, map[digest.Digest]string{}}
	for _, annotated := range []bool{true, false} {
		s := openStore(t)
		data := x.archive([]*sample{img}, x.attestation(annotated), entryOf(img, runtime.GOARCH))
		loaded, err := s.Load(context.Background(), "-", bytes.NewReader(data), LoadOptions{})
		if err != nil || !slices.Equal(loaded, []string{"sha256:" + img.id()}) {
			t.Errorf("loaded %q, %v", loaded, err)
		}
		data = x.archive(nil, x.attestation(annotated))
		if loaded, err := openStore(t).Load(context.Background(), "-", bytes.NewReader(data), LoadOptions{}); err == nil || !strings.Contains(err.Error(), "no image") {
			t.Errorf("of an attestation alone: loaded %q, %v", loaded, err)
		}
	}
}

// TestIndexBad takes indexes that lead too far, to nothing, or to other content than their digest says.
func TestIndexBad(t *testing.T) {
	img := newSample(t, runtime.GOARCH, rootfsTar(t, "x"))
	x := &indexes{t, map[digest.Digest][]byte{}, map[digest.Digest]string{}}
	deep := x.of(v1.MediaTypeImageIndex, entryOf(img, runtime.GOARCH))
	for range maxIndexDepth {
		deep = x.of(v1.MediaTypeImageIndex, deep)
	}
	var many []v1.Descriptor
	for i := range maxIndexes + 1 {
		many = append(many, x.of(v1.MediaTypeImageIndex, v1.Descriptor{MediaType: "x", Digest: digest.FromString(strings.Repeat("x", i))}))
	}
	forged := x.of(v1.MediaTypeImageIndex, entryOf(img, "riscv64"))
	x.blobs[forged.Digest] = x.blobs[deep.Digest]
	for name, c := range map[string]struct {
		top  v1.Descriptor
		want string
	}{
		"too deep":       {deep, "too many"},
		"too many":       {x.of(v1.MediaTypeImageIndex, many...), "too many"},
		"no platform":    {x.of(v1.MediaTypeImageIndex, entryOf(img, "s390x")), "no matching manifest for linux/" + runtime.GOARCH},
		"only nothing":   {x.of(v1.MediaTypeImageIndex), "no matching manifest"},
		"forged":         {x.of(v1.MediaTypeImageIndex, forged), "digest"},
		"missing":        {x.of(v1.MediaTypeImageIndex, descriptor(v1.MediaTypeImageIndex, []byte("gone"))), "no such file"},
		"not an index":   {x.of(v1.MediaTypeImageIndex, v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: "../../etc/passwd"}), "digest"},
		"attestations":   {x.of(v1.MediaTypeImageIndex, x.attestation(false), x.attestation(true)), "no matching manifest"},
		"other platform": {x.of(v1.MediaTypeImageIndex, x.of(v1.MediaTypeImageIndex, entryOf(img, "arm"))), "no matching manifest"},
	} {
		s := openStore(t)
		_, err := s.Load(context.Background(), "-", bytes.NewReader(x.archive([]*sample{img}, c.top)), LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
		isEmpty(t, s)
	}
}
