package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkLayers looks at a container of busyboxTree with upperLayer.
func (u *user) checkLayers(image string) {
	u.t.Helper()
	u.prints("group\n/home/alice/only\n640 0 42\n600 1000 1000", "run", "--rm", image, "sh", "-c",
		"ls /etc | grep -e secret -e group; ls -A /home/alice/*; stat -c '%a %u %g' /etc/group /home/alice/only")
}

// hasImage checks that the image is listed under the name with the ID.
func (u *user) hasImage(name, id string) {
	u.t.Helper()
	contains(u.t, u.run("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"), name+" "+id)
}

func TestLoad(t *testing.T) {
	for format, archive := range map[string]func(picture, *testing.T) []byte{"docker-archive": picture.dockerArchive,
		"oci-archive": picture.ociArchive} {
		t.Run(format, func(t *testing.T) {
			u := newUser(t)
			p := newPicture("example.org/app:v1", busyboxTree(t), upperLayer(t))
			path := u.path("home", "image.tar")
			if err := os.WriteFile(path, archive(p, t), 0o600); err != nil {
				t.Fatal(err)
			}
			contains(t, u.run("load", "-i", path), "Loaded image: example.org/app:v1")
			u.hasImage("example.org/app:v1", p.id(t))
			u.checkLayers("example.org/app:v1")
			u.succeeded(u.tryWith(archive(p, t), "load")) // a second time, from standard input
			u.prints("", "ps", "-aq")

			u.run("rmi", "example.org/app:v1")
			u.prints("", "images", "-q")
			u.isEmptyStore()
		})
	}
}

// isEmptyStore checks that no layer is left in the user's store.
func (u *user) isEmptyStore() {
	u.t.Helper()
	for _, pattern := range []string{"dir/*", "*-layers/*/*", "staging/*"} {
		// the pattern is well-formed
		left, _ := filepath.Glob(u.path("home", ".local", "share", "rcrun", "storage", "fuse", pattern))
		if len(left) > 0 {
			u.t.Errorf("the store still has %q", left)
		}
	}
}

func TestImport(t *testing.T) {
	u := newUser(t)
	path := u.path("home", "tree.tar")
	if err := os.WriteFile(path, compress(t, busyboxTree(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	id := u.run("import", "-c", `CMD ["echo","default"]`, "-c", "ENV A=1", "-c", "USER alice", "-c", "WORKDIR /tmp",
		path, "tree:v1")
	u.hasImage("tree:v1", id)
	u.prints("default", "run", "--rm", "tree:v1")
	u.prints("1 1000 /tmp", "run", "--rm", "tree:v1", "sh", "-c", "echo $A $(id -u) $(pwd)")
	u.prints("default", "run", "--rm", strings.TrimPrefix(id, "sha256:")[:12])
	contains(t, u.run("inspect", "tree:v1"), `"/tmp"`, `"alice"`, id)

	u.fails(125, []string{"NOSUCH"}, "import", "-c", "NOSUCH x", path, "x")
	u.fails(125, []string{"Bad"}, "import", path, "Bad Name")
	u.fails(125, []string{"/nonexistent"}, "import", "/nonexistent", "x")
	u.run("create", "--name", "c1", "tree:v1")
	u.fails(125, []string{"tree:v1", "uses it"}, "rmi", "tree:v1")
	u.run("rm", "c1")
	u.run("rmi", "tree:v1")
	u.isEmptyStore()
	u.fails(125, []string{"tree:v1"}, "rmi", "tree:v1")
}
