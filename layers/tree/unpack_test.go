package tree

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// allKinds has an entry of every kind, in the order in which Pack writes them: a deletion where the deleted name sorts.
var allKinds = []entry{
	{name: "./", mode: 0o751, uid: 7, gid: 8},
	{name: "bin/", mode: 0o755},
	{name: "bin/ping", mode: 0o755, body: "ELF", xattrs: map[string]string{"security.capability": "\x01\x00\x00\x02"}},
	{name: "bin/su", mode: 0o4755, body: "root"},
	{name: "dev/", mode: 0o755},
	{name: "dev/fifo", typ: tar.TypeFifo, mode: 0o620},
	{name: "dev/null", typ: tar.TypeChar, mode: 0o666, maj: 1, min: 3},
	{name: "dev/sda", typ: tar.TypeBlock, mode: 0o660, gid: 6, maj: 8, min: 70000},
	{name: "dev/zeros", typ: tar.TypeChar, mode: 0o600},
	{name: "etc/", mode: 0o755},
	{name: "etc/.wh..wh..opq"},
	{name: "etc/.wh.gone"},
	{name: "etc/secret", uid: 42, gid: 4294967294, body: "s"},
	{name: "etc/shadow", mode: 0o640, gid: 42, body: "x"},
	{name: "home/", mode: 0o2775, uid: 1000, gid: 1000},
	{name: "home/\x01 odd \u00fc", mode: 0o644, body: "name"},
	{name: "home/link", typ: tar.TypeSymlink, mode: 0o777, uid: 1000, gid: 1000, link: "/etc/shadow"},
	{name: "lib", typ: tar.TypeSymlink, mode: 0o777, link: "usr/lib"},
	{name: "link-with-xattr", typ: tar.TypeSymlink, mode: 0o777, link: "x",
		xattrs: map[string]string{"security.selinux": "l"}},
	{name: "same1", mode: 0o644, body: "hard", xattrs: map[string]string{"user.note": "n"}},
	{name: "same2", typ: tar.TypeLink, mode: 0o644, link: "same1"},
	{name: "spoof", mode: 0o644, xattrs: map[string]string{"user.containers.override_stat": "0:0:4755",
		"user.overlay.opaque": "y"}},
	{name: "tmp/", mode: 0o1777},
	{name: "unsearchable/", uid: 5},
	{name: "unsearchable/inside", mode: 0o400, body: "i"},
}

func TestRoundTrip(t *testing.T) {
	data := makeTar(t, allKinds...)
	dir, err := unpackAt(t, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Pack(Tree{Dir: dir}, &out, PackOptions{}); err != nil {
		t.Fatal(err)
	}
	got, want := readTar(t, &out), readTar(t, bytes.NewReader(data))
	if !sameEntries(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", show(got), show(want))
	}
}

func show(entries []entry) string {
	var lines []string
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("%+v", e))
	}
	return strings.Join(lines, "\n")
}

// TestOnDisk checks what no container may see but other readers of layer trees rely on.
func TestOnDisk(t *testing.T) {
	dir := mustUnpack(t, nil, allKinds...)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
			t.Errorf("%s has mode %v on disk", path, info.Mode())
		}
		if info.Mode().IsDir() && info.Mode()&0o700 != 0o700 || info.Mode().IsRegular() && info.Mode()&0o600 != 0o600 {
			t.Errorf("%s has mode %v on disk, which locks the owner out", path, info.Mode())
		}
		if info.Mode()&(fs.ModeDevice|fs.ModeNamedPipe) != 0 && !strings.HasSuffix(path, "/gone") {
			t.Errorf("%s is a special file on disk: %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/shadow": "0:42:0640:file", "bin/su": "0:0:4755:file", "tmp": "0:0:1777:dir",
		"dev/null": "0:0:0666:char-1-3", "home/link": "1000:1000:0777:symlink", "etc": "",
	} {
		got, err := beneath.File{FD: unix.AT_FDCWD, Name: filepath.Join(dir, name)}.Xattr(layerfmt.StatXattr)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s is %q (%v), want %q", name, layerfmt.StatXattr, got, err, want)
		}
	}
}

// TestReplace checks what is left when a tar has a name several times, or deletes names of its own.
func TestReplace(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []entry
		want    []string // of Pack, as name, type and content
	}{
		{"file over file", []entry{{name: "a", body: "1"}, {name: "a", mode: 0o600, body: "2"}}, []string{"a 0 2"}},
		{"file over file with another name", []entry{{name: "a", body: "1"}, {name: "b", typ: tar.TypeLink, link: "a"},
			{name: "a", body: "2"}},
			[]string{"a 0 2", "b 0 1"}},
		{"file over directory", []entry{{name: "a/"}, {name: "a/b/c/"}, {name: "a", body: "1"}}, []string{"a 0 1"}},
		{"directory over file", []entry{{name: "a", body: "1"}, {name: "a/"}, {name: "a/b"}},
			[]string{"a/ 5 ", "a/b 0 "}},
		{"directory over link", []entry{{name: "a", typ: tar.TypeSymlink, link: "/"}, {name: "a/"}, {name: "a/b"}},
			[]string{"a/ 5 ", "a/b 0 "}},
		{"directory over directory", []entry{{name: "a/", mode: 0o700, uid: 3}, {name: "a/b"},
			{name: "./a" + "/", mode: 0o755}},
			[]string{"a/ 5 ", "a/b 0 "}},
		{"directory replaced and made again", []entry{{name: "a/b/1"}, {name: "a"}, {name: "a/"}, {name: "a/b/2"}},
			[]string{"a/ 5 ", "a/b/ 5 ", "a/b/2 0 "}},
		{"link over file", []entry{{name: "a", body: "1"}, {name: "a", typ: tar.TypeSymlink, link: "x"}},
			[]string{"a 2 x"}},
		{"missing parents", []entry{{name: "/a//b/./c", body: "1"}}, []string{"a/ 5 ", "a/b/ 5 ", "a/b/c 0 1"}},
		{"whiteout, then file", []entry{{name: ".wh.a"}, {name: "a", body: "1"}}, []string{"a 0 1"}},
		{"whiteout, then directory", []entry{{name: ".wh.a"}, {name: "a/"}}, []string{"a/ 5 ", "a/.wh..wh..opq 0 "}},
		{"whiteout, then something in it", []entry{{name: ".wh.a"}, {name: "a/b"}},
			[]string{"a/ 5 ", "a/.wh..wh..opq 0 ", "a/b 0 "}},
		{"whiteout of a long name, then directory",
			[]entry{{name: "d/.wh." + long[:255]}, {name: "d/" + long[:255] + "/"}},
			[]string{"d/ 5 ", "d/" + long[:255] + "/ 5 ", "d/" + long[:255] + "/.wh..wh..opq 0 "}},
		{"whiteout of a long name, then something in it",
			[]entry{{name: ".wh." + long[:252]}, {name: long[:252] + "/a"}},
			[]string{long[:252] + "/ 5 ", long[:252] + "/.wh..wh..opq 0 ", long[:252] + "/a 0 "}},
		{"file, then whiteout", []entry{{name: "a", body: "1"}, {name: ".wh.a"}}, []string{"a 0 1"}},
		{"directory, then whiteout", []entry{{name: "a/b"}, {name: ".wh.a"}},
			[]string{"a/ 5 ", "a/.wh..wh..opq 0 ", "a/b 0 "}},
		{"whiteout twice", []entry{{name: ".wh.a"}, {name: ".wh.a"}}, []string{".wh.a 0 "}},
		{"whiteout in missing directory", []entry{{name: "d/.wh.a"}}, []string{"d/ 5 ", "d/.wh.a 0 "}},
		{"bookkeeping of other engines", []entry{{name: ".wh..wh.plnk"}, {name: ".wh..wh.aufs"}}, nil},
	} {
		for _, files := range []bool{false, true} {
			dir := t.TempDir()
			u := unpackInto(t, dir, files, makeTar(t, c.entries...))
			if u != nil {
				t.Errorf("%s: %v", c.name, u)
				continue
			}
			if got := packedNames(t, dir); strings.Join(got, ",") != strings.Join(c.want, ",") {
				t.Errorf("%s (whiteouts are files: %v):\ngot  %q\nwant %q", c.name, files, got, c.want)
			}
		}
	}
}

// unpackInto is Unpack with the form of whiteouts chosen.
func unpackInto(t *testing.T, dir string, whiteoutFiles bool, data []byte) error {
	t.Helper()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u, err := newUnpacker(root, UnpackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.whiteoutFiles = whiteoutFiles
	return u.run(bytes.NewReader(data))
}

func packedNames(t *testing.T, dir string) []string {
	t.Helper()
	return packedTree(t, Tree{Dir: dir})
}

func TestReplacedMetadata(t *testing.T) {
	dir := mustUnpack(t, nil, entry{name: "a/", mode: 0o1700, uid: 3}, entry{name: "a/b"},
		entry{name: "a/", mode: 0o755})
	st, err := statAt(filepath.Join(dir, "a"))
	if want := (layerfmt.Stat{Mode: unix.S_IFDIR | 0o755}); err != nil || st != want {
		t.Errorf("got %+v, %v; want %+v", st, err, want)
	}
}

// TestMissingParent checks that a directory which only a lower layer describes keeps its owner and mode.
func TestMissingParent(t *testing.T) {
	below := mustUnpack(t, nil, entry{name: "srv/", mode: 0o2750, uid: 33, gid: 34}, entry{name: "gone/", uid: 9})
	mid := mustUnpack(t, on(below), entry{name: "other"}, entry{name: ".wh.gone"})
	top := mustUnpack(t, on(mid, below), entry{name: "srv/new/file"}, entry{name: "gone/x"})
	for name, want := range map[string]layerfmt.Stat{
		"srv":     {UID: 33, GID: 34, Mode: unix.S_IFDIR | 0o2750},
		"srv/new": {Mode: unix.S_IFDIR | 0o755},
		"gone":    {Mode: unix.S_IFDIR | 0o755},
	} {
		if st, err := statAt(filepath.Join(top, name)); err != nil || st != want {
			t.Errorf("%s: got %+v, %v; want %+v", name, st, err, want)
		}
	}
}

func TestGlobalHeader(t *testing.T) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	hdr := &tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header",
		PAXRecords: map[string]string{"comment": "c"}}
	if err := tw.WriteHeader(hdr); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	dir, err := unpackAt(t, buf.Bytes(), nil)
	if names := packedNames(t, dir); err != nil || len(names) != 0 {
		t.Errorf("got %q, %v; want nothing", names, err)
	}
}
