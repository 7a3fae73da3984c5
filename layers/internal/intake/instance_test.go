package intake_test

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

	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/registry"
)

// TestIndexShapes loads and pulls an image from indexes of every shape.
func TestIndexShapes(t *testing.T) {
	here, other := storetest.NewSample(t, runtime.GOARCH, storetest.RootfsTar(t, "here"), storetest.PatchTar(t)),
		storetest.NewSample(t, "s390x", storetest.RootfsTar(t, "other"))
	x := storetest.NewIndexes(t)
	const oci, docker = v1.MediaTypeImageIndex, manifest.DockerV2ListMediaType
	mine, others := storetest.EntryOf(here, runtime.GOARCH), storetest.EntryOf(other, "s390x")
	inner := x.Of(oci, others, mine)
	forOthers := x.Of(oci, storetest.EntryOf(other, ""))
	forOthers.Platform = others.Platform
	forMe := x.Of(oci, storetest.EntryOf(here, ""))
	forMe.Platform = mine.Platform
	for name, top := range map[string]v1.Descriptor{
		"index":                          inner,
		"list of docker":                 x.Of(docker, others, mine),
		"index in an index":              x.Of(oci, inner),
		"three within each other":        x.Of(oci, x.Of(oci, inner)),
		"five within each other":         x.Of(oci, x.Of(oci, x.Of(oci, x.Of(oci, inner)))),
		"list of docker in an index":     x.Of(oci, x.Of(docker, others, mine)),
		"platform of the index":          x.Of(oci, forOthers, forMe),
		"attestation before the image":   x.Of(oci, x.Attestation(false), mine),
		"annotated attestation":          x.Of(oci, x.Attestation(true), storetest.EntryOf(here, "")),
		"attestation in an inner index":  x.Of(oci, x.Of(oci, x.Attestation(false), mine, x.Attestation(false))),
		"the same index twice":           x.Of(oci, x.Of(oci, inner), inner, inner),
		"image without a platform first": x.Of(oci, storetest.EntryOf(other, ""), mine),
	} {
		s := storetest.OpenStore(t)
		top.Annotations = map[string]string{storetest.ContainerdAnnotation: "docker.io/library/app:1"}
		loaded, err := archive.Load(context.Background(), s, "-",
			bytes.NewReader(indexArchive(x, []*storetest.Sample{here, other}, top)), archive.LoadOptions{})
		if err != nil || !slices.Equal(loaded, []string{"app:1"}) {
			t.Errorf("%s: loaded %q, %v", name, loaded, err)
			continue
		}
		storetest.CheckSample(t, s, here)

		reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
		data := push(x, reg, top, here, other)
		pulled, err := registry.Pull(context.Background(), s, reg.Host+"/app:1", registry.PullOptions{})
		if err != nil || pulled.ID != here.ID() || pulled.RepoDigest != digest.FromBytes(data) {
			t.Errorf("%s: pulled %+v, %v", name, pulled, err)
			continue
		}
		storetest.CheckSample(t, s, here)
		if found, err := s.Image(context.Background(), reg.Host+"/app@"+top.Digest.String()); err != nil ||
			found.ID != here.ID() {
			t.Errorf("%s: by the digest of the index: %+v, %v", name, found, err)
		}
	}
}

// archive makes an oci-archive with the given entries in its index.
func indexArchive(x *storetest.Indexes, images []*storetest.Sample, entries ...v1.Descriptor) []byte {
	files := storetest.LayoutFiles(x.T, images, make([]map[string]string, len(images)))
	for d, data := range x.Blobs {
		files = append(files, storetest.File{Name: "blobs/sha256/" + d.Encoded(), Data: data})
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex,
		Manifests: entries}
	for i := range files {
		if files[i].Name == v1.ImageIndexFile {
			files[i].Data = storetest.MustJSON(x.T, index)
		}
	}
	return storetest.ArchiveOf(x.T, files...)
}

// push puts images and indexes into a registry, the top one as app:1, and returns that.
func push(x *storetest.Indexes, reg *storetest.TestRegistry, top v1.Descriptor, images ...*storetest.Sample) []byte {
	for _, img := range images {
		reg.Push(x.T, img, "app", "")
	}
	// The registry wants to have what an index leads to before it takes the index.
	var put func(d v1.Descriptor)
	put = func(d v1.Descriptor) {
		data := x.Blobs[d.Digest]
		if data == nil {
			return
		}
		for _, inner := range entriesIn(x.T, data) {
			put(inner)
		}
		reg.Put(x.T, "/v2/app/manifests/"+d.Digest.String(), x.Kinds[d.Digest], data)
	}
	put(top)
	reg.Put(x.T, "/v2/app/manifests/1", top.MediaType, x.Blobs[top.Digest])
	return x.Blobs[top.Digest]
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
	img := storetest.NewSample(t, runtime.GOARCH, storetest.RootfsTar(t, "x"), storetest.PatchTar(t))
	x := storetest.NewIndexes(t)
	for _, annotated := range []bool{true, false} {
		s := storetest.OpenStore(t)
		data := indexArchive(x, []*storetest.Sample{img}, x.Attestation(annotated),
			storetest.EntryOf(img, runtime.GOARCH))
		loaded, err := archive.Load(context.Background(), s, "-", bytes.NewReader(data), archive.LoadOptions{})
		if err != nil || !slices.Equal(loaded, []string{"sha256:" + img.ID()}) {
			t.Errorf("loaded %q, %v", loaded, err)
		}
		data = indexArchive(x, nil, x.Attestation(annotated))
		if loaded, err := archive.Load(context.Background(), storetest.OpenStore(t), "-", bytes.NewReader(data),
			archive.LoadOptions{}); err == nil || !strings.Contains(err.Error(), "no image") {
			t.Errorf("of an attestation alone: loaded %q, %v", loaded, err)
		}
	}
}

// TestIndexBad takes indexes that lead too far, to nothing, or to other content than their digest says.
func TestIndexBad(t *testing.T) {
	img := storetest.NewSample(t, runtime.GOARCH, storetest.RootfsTar(t, "x"))
	x := storetest.NewIndexes(t)
	deep := x.Of(v1.MediaTypeImageIndex, storetest.EntryOf(img, runtime.GOARCH))
	for range intake.MaxIndexDepth {
		deep = x.Of(v1.MediaTypeImageIndex, deep)
	}
	var many []v1.Descriptor
	for i := range intake.MaxIndexes + 1 {
		many = append(many, x.Of(v1.MediaTypeImageIndex,
			v1.Descriptor{MediaType: "x", Digest: digest.FromString(strings.Repeat("x", i))}))
	}
	forged := x.Of(v1.MediaTypeImageIndex, storetest.EntryOf(img, "riscv64"))
	x.Blobs[forged.Digest] = x.Blobs[deep.Digest]
	for name, c := range map[string]struct {
		top  v1.Descriptor
		want string
	}{
		"too deep": {deep, "too many"},
		"too many": {x.Of(v1.MediaTypeImageIndex, many...), "too many"},
		"no platform": {x.Of(v1.MediaTypeImageIndex, storetest.EntryOf(img, "s390x")),
			"no matching manifest for linux/" + runtime.GOARCH},
		"only nothing": {x.Of(v1.MediaTypeImageIndex), "no matching manifest"},
		"forged":       {x.Of(v1.MediaTypeImageIndex, forged), "digest"},
		"missing": {x.Of(v1.MediaTypeImageIndex, core.Descriptor(v1.MediaTypeImageIndex, []byte("gone"))),
			"no such file"},
		"not an index": {x.Of(v1.MediaTypeImageIndex,
			v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: "../../etc/passwd"}), "digest"},
		"attestations": {x.Of(v1.MediaTypeImageIndex, x.Attestation(false), x.Attestation(true)),
			"no matching manifest"},
		"other platform": {x.Of(v1.MediaTypeImageIndex, x.Of(v1.MediaTypeImageIndex, storetest.EntryOf(img, "arm"))),
			"no matching manifest"},
	} {
		s := storetest.OpenStore(t)
		_, err := archive.Load(context.Background(), s, "-",
			bytes.NewReader(indexArchive(x, []*storetest.Sample{img}, c.top)), archive.LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
		storetest.IsEmpty(t, s)
	}
}
