package tests

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// entry is one entry of a tar.
type entry struct {
	tar.Header
	content string
}

func directory(name string, mode int64) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}}
}

func file(name string, mode int64, content string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, content: content}
}

func symlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

func hardLink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}}
}

func (e entry) owned(uid, gid int) entry {
	e.Uid, e.Gid = uid, gid
	return e
}

// pack returns the tar of the entries.
func pack(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		e.Size, e.ModTime = int64(len(e.content)), time.Unix(1700000000, 0)
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// busyboxTree is a small root filesystem: busybox under the names of its applets, some users, and files of other
// owners and odd modes.
func busyboxTree(t *testing.T) []byte {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("busybox-static is needed: %v", err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	entries := []entry{directory("bin", 0o755), file("bin/busybox", 0o755, string(program)),
		directory("etc", 0o755), directory("tmp", 0o1777), directory("root", 0o700), directory("home", 0o755),
		directory("var", 0o755),
		directory("home/alice", 0o750).owned(1000, 1000), file("home/alice/own", 0o640, "of alice\n").owned(1000, 1000),
		file("etc/passwd", 0o644, "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n"+
			"alice:x:1000:1000::/home/alice:/bin/sh\n"),
		file("etc/group", 0o644, "root:x:0:\ndaemon:x:1:\nshadow:x:42:\nalice:x:1000:\nextra:x:2000:alice\n"),
		file("etc/secret", 0o000, "secret\n"), file("bin/suid", 0o4755, "#!/bin/sh\nid -u\n").owned(1, 1),
		file("etc/not-executable", 0o644, "text\n"), file("etc/bad-interpreter", 0o755, "#!/does/not/exist\n"),
	}
	for applet := range strings.Lines(string(applets)) {
		if name := strings.TrimSpace(applet); name != "busybox" {
			entries = append(entries, symlink("bin/"+name, "busybox"))
		}
	}
	return pack(t, entries...)
}

// importImage imports a tar as an image.
func (u *user) importImage(name string, content []byte, flags ...string) {
	u.t.Helper()
	u.succeeded(u.tryWith(content, append(append([]string{"import"}, flags...), "-", name)...))
}

// entriesOf returns the entries of a tar.
func entriesOf(t *testing.T, content []byte) (entries []entry) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		hdr, err := r.Next()
		if err == io.EOF {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry{*hdr, string(text)})
	}
}

// join returns one tar of the entries of several.
func join(t *testing.T, tars ...[]byte) []byte {
	t.Helper()
	var all []entry
	for _, content := range tars {
		all = append(all, entriesOf(t, content)...)
	}
	return pack(t, all...)
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
