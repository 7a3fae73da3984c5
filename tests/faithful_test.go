package tests

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestSavePulled saves an image that came from a registry: configuration and layers are the bytes that the registry
// has, but for the layers' compression.
func TestSavePulled(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := interchangePicture(t, "app:v1")
	name := u.put(server.host, "team/app:v1", p)
	u.run("pull", "-q", name)
	saved := map[string]bool{}
	for _, flags := range [][]string{{}, {"--format", "oci-archive", "--compression", "none"}} {
		r := u.try(append(append([]string{"save"}, flags...), name)...)
		u.succeeded(r)
		for _, e := range entriesOf(t, []byte(r.stdout)) {
			saved[digest.FromString(e.content).String()] = true
		}
		for _, want := range append([]digest.Digest{digest.Digest(p.id(t))}, p.config.RootFS.DiffIDs...) {
			if !saved[want.String()] {
				t.Errorf("save %q: nothing has the digest %s", flags, want)
			}
		}
		clear(saved)
	}
}

// TestPullOwn pulls images that were made here and pushed, while they are here and when they are not.
func TestPullOwn(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	one, two := server.host+"/app:1", server.host+"/app:2"
	u.importImage(one, busyboxTree(t))
	u.run("run", "--name", "cc", one, "sh", "-c", "echo new >/new")
	id := u.run("commit", "cc", two)
	u.run("rm", "cc")
	for _, name := range []string{one, two} {
		u.run("push", "-q", name)
		u.run("pull", "-q", name)
	}
	if layers := strings.Fields(u.run("layer", "ls", "-q")); len(layers) != 2 {
		t.Errorf("images that are here were pulled again: layers %q", layers)
	}
	u.run("untag", two)
	u.prints(id, "pull", "-q", two)
	contains(t, u.run("images", "--digests", server.host+"/app"), "sha256:")
	u.run("rmi", one, two)
	u.prints(id, "pull", "-q", two)
	u.prints("new", "run", "--rm", two, "cat", "/new")
}

// TestDebianArchives takes a real root filesystem through a store, a second one, and out again: every file is as it
// was.
func TestDebianArchives(t *testing.T) {
	u := newUser(t)
	want := describeTar(t, debianTar())
	if len(want) < 5000 {
		t.Fatalf("the tar has %d entries only", len(want))
	}
	u.run("import", "-c", `CMD ["bash"]`, debianTar(), "debian:12")
	u.run("create", "--name", "first", "debian:12")
	u.run("export", "-o", u.path("home", "first.tar"), "first")
	sameTrees(t, "exported", describeTar(t, u.path("home", "first.tar")), want)

	u.run("save", "--format", "oci-archive", "--compression", "zstd", "-o", u.path("home", "saved.tar"), "debian:12")
	id := u.run("image", "inspect", "-f", "{{.Id}}", "debian:12")
	u.run("rm", "first")
	u.run("rmi", "debian:12")
	u.isEmptyStore()
	u.run("load", "-q", "-i", u.path("home", "saved.tar"))
	u.hasImage("debian:12", id)
	u.run("create", "--name", "second", "debian:12")
	u.run("commit", "--squash", "second", "flat")
	u.run("create", "--name", "third", "flat")
	u.run("export", "-o", u.path("home", "third.tar"), "third")
	sameTrees(t, "saved, loaded and squashed", describeTar(t, u.path("home", "third.tar")), want)
}

// describeTar tells of every entry of a tar all that matters, with the content's digest. Names of one file are told of
// as links to the first of them, by the order of names.
func describeTar(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all, groups := map[string]string{}, map[string][]string{}
	for r := tar.NewReader(file); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := plainName(h.Name)
		if h.Typeflag == tar.TypeLink {
			first := plainName(h.Linkname)
			groups[first] = append(groups[first], name)
			continue
		}
		sum, err := digest.FromReader(r)
		if err != nil {
			t.Fatal(err)
		}
		xattrs := ""
		for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			if strings.HasPrefix(key, "SCHILY.xattr.") {
				xattrs += fmt.Sprintf(" %s=%q", key, h.PAXRecords[key])
			}
		}
		all[name] = fmt.Sprintf("%c %o %d:%d %s %d,%d %d %s%s", h.Typeflag, h.Mode&0o7777, h.Uid, h.Gid, h.Linkname,
			h.Devmajor, h.Devminor,
			h.ModTime.Unix(), sum, xattrs)
	}
	for first, names := range groups {
		names = append(names, first)
		slices.Sort(names)
		file := all[first]
		for _, name := range names {
			all[name] = file + " is " + names[0]
		}
	}
	return all
}

// plainName is the name of an entry without what tars differ in.
func plainName(name string) string { return strings.Trim(strings.TrimPrefix(name, "./"), "/") }

// sameTrees compares what describeTar tells, but for what the engine puts in and the times of the directories that it
// does so in.
func sameTrees(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	wrong := 0
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if name == "" || name == "etc" || ofTheEngine(name) || got[name] == want[name] {
			continue
		}
		if wrong++; wrong <= 20 {
			t.Errorf("%s: %s is\n%s, want\n%s", what, name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && !ofTheEngine(name) {
			t.Errorf("%s: %s is new", what, name)
		}
	}
}
