package tests

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// interchanged checks that the image in the user's store is p.
func (u *user) interchanged(name string, p picture) {
	u.t.Helper()
	u.hasImage(name, p.id(u.t))
	u.checkLayers(name)
	var diffIDs []string
	for _, id := range p.config.RootFS.DiffIDs {
		diffIDs = append(diffIDs, id.String())
	}
	u.prints(strings.Join(diffIDs, " "), "image", "inspect", "-f", `{{join .RootFS.Layers " "}}`, name)
	u.prints(strings.TrimSpace(strings.Repeat("COPY x\n", len(p.config.History))), "history", "--format",
		"{{.CreatedBy}}", name)
}

func interchangePicture(t *testing.T, name string) picture {
	p := newPicture(name, busyboxTree(t), upperLayer(t))
	p.addHistory("COPY x", false)
	p.addHistory("COPY x", false)
	return p
}

// TestInterchangePodman exchanges images with podman, in both directions and both formats.
func TestInterchangePodman(t *testing.T) {
	u := newUserBeside(t, &hostMounts)
	p := interchangePicture(t, "example.org/app:v1")
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	defer u.removePodman()
	for format, compressions := range map[string][]string{
		"docker-archive": {"none"}, // Debian's podman cannot read a compressed one, also not its own
		"oci-archive":    {"none", "gzip", "zstd"},
	} {
		for _, compression := range compressions {
			archive := u.path("home", format+compression)
			u.run("save", "--format", format, "--compression", compression, "-o", archive, "example.org/app:v1")
			contains(t, u.podman("load", "-i", archive), "example.org/app:v1")
			if id := u.podman("image", "inspect", "-f", "{{.Id}}", "example.org/app:v1"); "sha256:"+id != p.id(t) {
				t.Errorf("%s, %s: podman has %s, want %s", format, compression, id, p.id(t))
			}
			u.podman("rmi", "-f", "example.org/app:v1")
		}
	}
	archive := u.path("home", "for-podman")
	u.run("save", "-o", archive, "example.org/app:v1")
	u.podman("load", "-q", "-i", archive)
	u.run("rmi", "example.org/app:v1")
	for _, format := range []string{"docker-archive", "oci-archive"} {
		from := u.path("home", "podman-"+format)
		u.podman("save", "-q", "--format", format, "-o", from, "example.org/app:v1")
		contains(t, u.run("load", "-i", from), "Loaded image: example.org/app:v1")
		if format == "docker-archive" { // podman writes other configurations into OCI images
			u.interchanged("example.org/app:v1", p)
		} else {
			u.checkLayers("example.org/app:v1")
		}
		u.run("rmi", "example.org/app:v1")
	}
}

// podman runs podman, with a store of plain directories that needs nothing of the host.
func (u *user) podman(args ...string) string {
	u.t.Helper()
	global := []string{"--root", u.path("podman"), "--runroot", u.path("podman-run"), "--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs", "--events-backend", "none"}
	return u.succeeded(u.finish(u.command("podman", append(global, args...)...)))
}

// removePodman removes podman's images and what it keeps running.
func (u *user) removePodman() {
	u.t.Helper()
	u.podman("rmi", "-fa")
	u.succeeded(u.finish(u.command("podman", "unshare", "rm", "-rf", u.path("podman"))))
	u.podman("system", "migrate") // which ends the process that keeps its namespace
}

// TestInterchangeSkopeo has skopeo read our archives and write others.
func TestInterchangeSkopeo(t *testing.T) {
	u := newUser(t)
	p := interchangePicture(t, "example.org/app:v1")
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	for format, reference := range map[string]string{"docker-archive": "", "oci-archive": ":v1"} {
		ours, theirs := u.path("home", format), u.path("home", format+"-skopeo")
		u.run("save", "--format", format, "-o", ours, "example.org/app:v1")
		u.succeeded(u.finish(u.command("skopeo", "--insecure-policy", "copy", "-q", format+":"+ours+reference,
			format+":"+theirs+":example.org/app:v2")))
		u.run("load", "-i", theirs)
		u.interchanged("example.org/app:v2", p)
		u.run("rmi", "example.org/app:v2")
	}
}

// TestInterchangeUmoci has umoci unpack and change an image of ours, which it keeps in a layout.
func TestInterchangeUmoci(t *testing.T) {
	u := newUser(t)
	p := interchangePicture(t, "example.org/app:v1")
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	layout := u.path("home", "layout")
	if err := os.Mkdir(layout, 0o700); err != nil {
		t.Fatal(err)
	}
	u.run("save", "--format", "oci-archive", "-o", u.path("home", "oci.tar"), "example.org/app:v1")
	u.succeeded(u.finish(u.command("tar", "-xf", u.path("home", "oci.tar"), "-C", layout)))
	umoci := func(args ...string) {
		t.Helper()
		u.succeeded(u.finish(u.command("umoci", args...)))
	}
	umoci("unpack", "--rootless", "--image", layout+":v1", u.path("home", "bundle"))
	if text, err := os.ReadFile(u.path("home", "bundle", "rootfs", "etc", "group")); err != nil ||
		string(text) != "root:x:0:\n" {
		t.Errorf("unpacked by umoci: %q, %v", text, err)
	}
	u.run("rmi", "example.org/app:v1")
	contains(t, u.run("load", "-i", layout), "Loaded image: example.org/app:v1")
	u.interchanged("example.org/app:v1", p)
	umoci("config", "--image", layout+":v1", "--config.env", "BY=umoci", "--no-history")
	u.run("load", "-i", layout)
	u.prints("umoci", "run", "--rm", "example.org/app:v1", "sh", "-c", "echo $BY")
}

// TestSaveToShell looks at what only the command knows: where the archive goes.
func TestSaveToShell(t *testing.T) {
	u := newUser(t)
	p := u.loadPicture("app:v1", busyboxTree(t))
	q := u.loadPicture("other:v1", busyboxTree(t), upperLayer(t))
	saved := u.try("save", "app:v1", "other:v1")
	u.succeeded(saved)
	u.run("rmi", "app:v1", "other:v1")
	u.isEmptyStore()
	contains(t, u.succeeded(u.tryWith([]byte(saved.stdout), "load")), "Loaded image: app:v1\nLoaded image: other:v1")
	u.hasImage("app:v1", p.id(t))
	u.hasImage("other:v1", q.id(t))
	if layers := strings.Fields(u.run("layer", "ls", "-q")); len(layers) != 2 {
		t.Errorf("two images with a common base have the layers %q", layers)
	}

	// An archive that is there is replaced only by a whole one.
	path := u.path("home", "a.tar")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.fails(125, []string{"missing"}, "image", "inspect", "missing") // which makes the cache of short names
	before := u.entries("home")
	u.fails(125, []string{"missing"}, "save", "-o", path, "app:v1", "missing")
	if text, err := os.ReadFile(path); string(text) != "old" || err != nil {
		t.Errorf("after a failure: %q, %v", text, err)
	}
	if after := u.entries("home"); !slices.Equal(after, before) {
		t.Errorf("in the directory is %q, was %q", after, before)
	}
	u.run("image", "save", "-o", path, "app:v1")
	u.run("image", "load", "-i", path)
	u.run("save", "-o", "/dev/null", "app:v1")
	u.fails(125, []string{"format", "zip"}, "save", "--format", "zip", "-o", path, "app:v1")
	u.fails(125, []string{"/nonexistent/x"}, "save", "-o", "/nonexistent/x", "app:v1")
	term := u.onTerminal("save", "app:v1")
	term.expect("terminal")
	if code := term.wait(); code != 125 {
		t.Errorf("on a terminal: exit code %d", code)
	}
}

// TestCompressions brings the same layer in with every compression that there is, and the same archive.
func TestCompressions(t *testing.T) {
	u := newUser(t)
	path := u.path("home", "tree.tar")
	if err := os.WriteFile(path, busyboxTree(t), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, program := range []string{"cat", "gzip", "bzip2", "xz", "zstd"} {
		packed := u.finish(u.command("sh", "-c", fmt.Sprintf("%s <%s", program, path)))
		u.succeeded(packed)
		u.succeeded(u.tryWith([]byte(packed.stdout), "import", "-", program))
		seen[u.run("image", "inspect", "-f", "{{join .RootFS.Layers \" \"}}", program)] = true
	}
	if len(seen) != 1 {
		t.Errorf("one layer has the digests %v", seen)
	}
	u.run("save", "-o", path, "cat")
	for _, program := range []string{"gzip", "bzip2", "xz", "zstd"} {
		u.run("rmi", "cat")
		packed := u.path("home", program)
		u.succeeded(u.finish(u.command("sh", "-c", fmt.Sprintf("%s <%s >%s", program, path, packed))))
		contains(t, u.run("load", "-i", packed), "Loaded image: cat:latest")
	}
}
