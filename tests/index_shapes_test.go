package tests

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestLoadNestedIndex loads an image that is in an index within an index, with an attestation beside it at each place.
func TestLoadNestedIndex(t *testing.T) {
	u := newUser(t)
	p := newPicture("app:v1", busyboxTree(t), upperLayer(t))
	var index v1.Index
	var entries []entry
	for _, e := range entriesOf(t, p.ociArchive(t)) {
		if e.Name == v1.ImageIndexFile {
			if err := json.Unmarshal([]byte(e.content), &index); err != nil {
				t.Fatal(err)
			}
			continue
		}
		entries = append(entries, e)
	}
	image := index.Manifests[0]
	name := image.Annotations
	image.Annotations, image.Platform = nil, &v1.Platform{OS: "linux", Architecture: p.config.Architecture}
	attestation := v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: digest.FromString("none"), Size: 4,
		Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"}}
	top := image
	for range 2 {
		index.Manifests, index.MediaType = []v1.Descriptor{attestation, top}, v1.MediaTypeImageIndex
		text := encode(t, index)
		top = v1.Descriptor{MediaType: v1.MediaTypeImageIndex, Digest: digest.FromBytes(text), Size: int64(len(text))}
		entries = append(entries, file("blobs/sha256/"+top.Digest.Encoded(), 0o644, string(text)))
	}
	top.Annotations = name
	index.Manifests = []v1.Descriptor{attestation, top}
	archive := pack(t, append(entries, file(v1.ImageIndexFile, 0o644, string(encode(t, index))))...)
	r := u.tryWith(archive, "load")
	if got := u.succeeded(r); got != "Loaded image: app:v1" {
		t.Errorf("load printed %q", got)
	}
	u.hasImage("app:v1", p.id(t))
	u.checkLayers("app:v1")
}

// TestImportTwice imports one tar twice, from a file and from a pipe, and commits one state of a container twice: the
// store has each content once.
func TestImportTwice(t *testing.T) {
	u := newUserWithImage(t)
	path := u.path("home", "bb.tar")
	u.writeFile(path, string(busyboxTree(t)))
	before := u.diskUsage()
	u.run("import", path, "file:1")
	u.run("import", path, "file:2")
	u.importImage("pipe", busyboxTree(t))
	u.run("run", "--name", "grown", "--network", "none", "bb", "sh", "-c", "head -c 3000000 /dev/urandom >/data")
	u.run("commit", "grown", "grown:1")
	grown := u.diskUsage()
	u.run("commit", "grown", "grown:2")
	if got := grown - before; got > 7<<20 { // the container's file and its copy in a layer
		t.Errorf("the store has grown by %d bytes", got)
	}
	if got := u.diskUsage() - grown; got > 1<<20 {
		t.Errorf("by the second commit, the store has grown by %d bytes", got)
	}
	if rows := strings.Fields(u.run("layer", "ls", "-q")); len(rows) != 2 {
		t.Errorf("there are the layers %q, want two", rows)
	}
}
