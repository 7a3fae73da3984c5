package tests

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHoles takes a file with holes through every way into the store and out of it.
func TestHoles(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "sparse", "--network", "none", "bb", "sh", "-c",
		"truncate -s 64M /hole && printf data | dd of=/hole bs=1M seek=40 conv=notrunc && truncate -s 1M /zeros")
	want := u.run("run", "--rm", "--network", "none", "bb", "sh", "-c",
		"truncate -s 64M /hole && printf data | dd of=/hole bs=1M seek=40 conv=notrunc 2>/dev/null && sha256sum /hole")
	keepsHoles := func(what, image string, before int64) {
		t.Helper()
		if grown := u.diskUsage() - before; grown > 4<<20 {
			t.Errorf("%s: the store has grown by %d bytes", what, grown)
		}
		u.prints(want, "run", "--rm", "--network", "none", image, "sha256sum", "/hole")
		u.prints("1048576 0", "run", "--rm", "--network", "none", image, "stat", "-c", "%s %b", "/zeros")
		u.prints("67108864 few", "run", "--rm", "--network", "none", image, "sh", "-c",
			`echo $(stat -c %s /hole) $(test $(stat -c %b /hole) -le 16 && echo few)`)
	}
	before := u.diskUsage()
	u.run("commit", "sparse", "v2")
	keepsHoles("commit", "v2", before)
	layers := u.run("image", "inspect", "-f", "{{.RootFS.Layers}}", "v2")
	for _, format := range []string{"docker-archive", "oci-archive"} {
		archive := u.path("tmp", format)
		u.run("save", "--format", format, "-o", archive, "v2")
		u.takesLittle(archive)
		content := readFile(t, archive)
		u.run("rmi", "v2")
		before = u.diskUsage()
		u.run("load", "-q", "-i", archive)
		keepsHoles("load "+format, "v2", before)
		u.run("rmi", "v2")
		before = u.diskUsage()
		u.succeeded(u.tryWith(content, "load", "-q"))
		keepsHoles("load "+format+" from a pipe", "v2", before)
		u.prints(layers, "image", "inspect", "-f", "{{.RootFS.Layers}}", "v2")
	}
	before = u.diskUsage()
	u.run("commit", "--squash", "sparse", "flat")
	keepsHoles("commit --squash", "flat", before+2<<20) // busybox comes again
	r := u.try("export", "sparse")
	u.succeeded(r)
	u.run("export", "-o", u.path("tmp", "exported"), "sparse")
	u.takesLittle(u.path("tmp", "exported"))
	if !bytes.Equal(readFile(t, u.path("tmp", "exported")), []byte(r.stdout)) {
		t.Error("an export to a file has other content than one to a pipe")
	}
	before = u.diskUsage()
	u.importImage("imported", []byte(r.stdout))
	keepsHoles("import", "imported", before+2<<20)
	server := u.startRegistry()
	u.run("push", "-q", "v2", server.host+"/v2:1")
	u.run("rmi", "v2")
	before = u.diskUsage()
	u.run("pull", "-q", server.host+"/v2:1")
	keepsHoles("pull", server.host+"/v2:1", before)
	u.prints(layers, "image", "inspect", "-f", "{{.RootFS.Layers}}", server.host+"/v2:1")
	u.prints("", "store", "check", "--deep")
}

// takesLittle checks that an archive of the file with holes has holes, too.
func (u *user) takesLittle(path string) {
	u.t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		u.t.Fatal(err)
	}
	if st.Blocks*512 > 6<<20 {
		u.t.Errorf("%s takes %d bytes on disk", path, st.Blocks*512)
	}
}

// TestHolesOfWholeDisk commits a file that has more bytes than any disk of a test machine, and more than a layer may
// have.
func TestHolesOfWholeDisk(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "big", "--network", "none", "bb", "sh", "-c", "truncate -s 1099511627776 /big")
	before := u.diskUsage()
	u.fails(125, []string{`"big"`, "too large"}, "commit", "big", "too-big")
	if grown := u.diskUsage() - before; grown > 1<<20 {
		t.Errorf("the store has grown by %d bytes", grown)
	}
}

// TestBelowLinksOfLayer imports tars whose entries lie below symbolic links of the same tar.
func TestBelowLinksOfLayer(t *testing.T) {
	u := newUserWithImage(t)
	linked := join(t, busyboxTree(t), pack(t, directory("usr", 0o755), directory("usr/lib", 0o755),
		symlink("lib", "usr/lib"),
		file("lib/tool", 0o644, "tool\n"), symlink("abs", "/usr"), file("abs/y", 0o644, "y\n").owned(7, 8),
		symlink("out", "../../../outside"), file("out/z", 0o644, "z\n"), hardLink("hard", "lib/tool")))
	u.importImage("linked", linked)
	const look = `cat /usr/lib/tool /usr/y /outside/z /hard; stat -c "%u %g" /usr/y; stat -c %h /hard; readlink /lib`
	const want = "tool\ny\nz\ntool\n7 8\n2\nusr/lib"
	u.prints(want, "run", "--rm", "--network", "none", "linked", "sh", "-c", look)
	u.run("save", "-o", u.path("tmp", "linked.tar"), "linked")
	u.run("rmi", "linked")
	u.run("load", "-q", "-i", u.path("tmp", "linked.tar"))
	u.prints(want, "run", "--rm", "--network", "none", "linked", "sh", "-c", look)
	u.prints("", "store", "check", "--deep")
	// Above another layer, the same content is cloned.
	u.loadPicture("above:1", busyboxTree(t), linked)
	u.prints(want, "run", "--rm", "--network", "none", "above:1", "sh", "-c", look)
	twice := pack(t, directory("d", 0o755), symlink("l", "d"), file("d/f", 0o644, "1"), file("l/f", 0o644, "2"))
	u.failed(u.tryWith(twice, "import", "-", "twice"), 125, `"l/f"`, "duplicates")
}

// TestLongNamesDeleted deletes names that are as long as names can be, so that those of their marks are longer.
func TestLongNamesDeleted(t *testing.T) {
	u := newUserWithImage(t)
	var names []string
	for _, n := range []int{251, 252, 255} {
		names = append(names, strings.Repeat("n", n))
	}
	u.run("run", "--name", "made", "--network", "none", "bb", "sh", "-c",
		`mkdir /d; for i; do echo 1 >/d/$i; done; mkdir /d/`+strings.Repeat("m", 254), "sh", names[0], names[1],
		names[2])
	u.run("commit", "made", "long")
	u.run("run", "--name", "deleted", "--network", "none", "long", "sh", "-c", "rm -r /d/*; echo 2 >/d/left")
	contains(t, u.run("diff", "deleted"), "D /d/"+names[1], "D /d/"+names[2], "D /d/"+strings.Repeat("m", 254))
	u.run("commit", "deleted", "short")
	u.run("save", "-o", u.path("tmp", "short.tar"), "short")
	u.run("rmi", "short")
	u.run("load", "-q", "-i", u.path("tmp", "short.tar"))
	u.prints("left", "run", "--rm", "--network", "none", "short", "ls", "-A", "/d")
	server := u.startRegistry()
	u.run("push", "-q", "short", server.host+"/short:1")
	u.run("rmi", "short")
	u.run("pull", "-q", server.host+"/short:1")
	u.prints("left", "run", "--rm", "--network", "none", server.host+"/short:1", "ls", "-A", "/d")
	u.run("run", "--name", "again", "--network", "none", server.host+"/short:1", "sh", "-c", "echo 3 >/d/"+names[2])
	u.run("commit", "again", "again")
	u.prints("3", "run", "--rm", "--network", "none", "again", "cat", "/d/"+names[2])
	exported := u.try("export", "deleted")
	u.succeeded(exported)
	for _, e := range entriesOf(t, []byte(exported.stdout)) {
		if strings.HasPrefix(e.Name, "d/") && e.Name != "d/" && e.Name != "d/left" {
			t.Errorf("export has %.20q...", e.Name)
		}
	}
}
