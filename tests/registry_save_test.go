package tests

import (
	"archive/tar"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestPullSave saves an image that was pulled: its layers are byte for byte those whose digests the registry's
// configuration of the image names, and it goes to another registry under the same ID.
func TestPullSave(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := newPicture("app:v1", busyboxTree(t), upperLayer(t))
	name := u.put(server.host, "app:v1", p)
	u.prints(p.id(t), "pull", "-q", name)
	path := u.path("home", "saved.tar")
	u.run("save", "-o", path, name)
	if got := savedLayers(t, path); !slices.Equal(got, p.config.RootFS.DiffIDs) {
		t.Errorf("saved the layers %v, want %v", got, p.config.RootFS.DiffIDs)
	}
	other := u.startRegistry()
	u.run("push", "-q", name, other.host+"/app:v1")
	other.hasPicture(t, "app", "v1", p)
}

// savedLayers returns the digests of the layers in a docker-archive, in their order.
func savedLayers(t *testing.T, path string) []digest.Digest {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	digests := map[string]digest.Digest{}
	var manifest []struct{ Layers []string }
	for tr := tar.NewReader(file); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if digests[hdr.Name] = digest.FromBytes(content); hdr.Typeflag == tar.TypeSymlink ||
			hdr.Typeflag == tar.TypeLink {
			digests[hdr.Name] = digests[strings.TrimPrefix(hdr.Linkname, "../")]
		}
		if hdr.Name == "manifest.json" {
			if err := json.Unmarshal(content, &manifest); err != nil {
				t.Fatal(err)
			}
		}
	}
	var layers []digest.Digest
	for _, image := range manifest {
		for _, layer := range image.Layers {
			layers = append(layers, digests[layer])
		}
	}
	return layers
}
