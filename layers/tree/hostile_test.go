package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var long = strings.Repeat("n", 300)

// hostileTar is a tar whose last entry must be refused.
type hostileTar struct {
	name    string
	entries []entry
	want    string // in the error
}

var hostileTars = []hostileTar{

	{"name leads out", []entry{{name: "../outside/x", body: "bad"}}, `contains ".."`},
	{"name leads out and back", []entry{{name: "a/../../outside/x", body: "bad"}}, `contains ".."`},
	{"name with dots inside", []entry{{name: "a/"}, {name: "a/../b", body: "bad"}}, `contains ".."`},
	{"directory that leads out", []entry{{name: "../"}}, `contains ".."`},
	{"through a file", []entry{{name: "a", body: "1"}, {name: "a/b"}}, "not a directory"},
	{"hard link to outside", []entry{{name: "a", typ: tar.TypeLink, link: "../outside/kept"}}, `contains ".."`},
	{"hard link to an absolute name", []entry{{name: "a", typ: tar.TypeLink, link: "/OUTSIDE/kept"}},
		"no earlier entry"},
	{"hard link through a link", []entry{{name: "l", typ: tar.TypeSymlink, link: "../outside"},
		{name: "a", typ: tar.TypeLink, link: "l/kept"}}, "no earlier entry"},
	{"hard link to itself through a link",
		[]entry{{name: "d/a", body: "1"}, {name: "l", typ: tar.TypeSymlink, link: "d"},
			{name: "d/a", typ: tar.TypeLink, link: "l/a"}}, "itself"},
	{"through links in a circle", []entry{{name: "a", typ: tar.TypeSymlink, link: "b"},
		{name: "b", typ: tar.TypeSymlink, link: "a"}, {name: "a/x"}}, "too many levels"},
	{"through a link to itself", []entry{{name: "a", typ: tar.TypeSymlink, uid: 1, link: "./a"}, {name: "a/x"}},
		"too many levels"},
	{"through a link to a file", []entry{{name: "f", body: "1"}, {name: "a", typ: tar.TypeSymlink, link: "f"},
		{name: "a/x"}}, "not a directory"},
	{"through a link to a mark", []entry{{name: "a", typ: tar.TypeSymlink, link: ".wh.d"}, {name: "a/x"}},
		"marks deletions"},
	{"through a link too deep", []entry{{name: "l", typ: tar.TypeSymlink, link: strings.Repeat("d/", 300)},
		{name: "l/" + strings.Repeat("d/", MaxDepth-200)}}, "levels deep"},
	{"through a link too long", []entry{{name: "l", typ: tar.TypeSymlink, link: strings.Repeat(long[:200]+"/", 15)},
		{name: "l/" + strings.Repeat(long[:200]+"/", maxName/201-10)}}, "longer than 32768"},
	{"file with two names by a link", []entry{{name: "d/f", body: "1"},
		{name: "l", typ: tar.TypeSymlink, link: "d"}, {name: "l/f", body: "2"}}, "duplicates"},
	{"file with a name by a link first", []entry{{name: "d/"}, {name: "l", typ: tar.TypeSymlink, link: "d"},
		{name: "l/f", body: "1"}, {name: "d/f", body: "2"}}, "duplicates"},
	{"hard link to nothing", []entry{{name: "a", typ: tar.TypeLink, link: "b"}}, "no earlier entry"},
	{"hard link to itself", []entry{{name: "a", body: "1"}, {name: "a", typ: tar.TypeLink, link: "./a"}}, "itself"},
	{"hard link to a directory", []entry{{name: "d/"}, {name: "a", typ: tar.TypeLink, link: "d"}}, "hard link"},
	{"hard link to the root", []entry{{name: "a", typ: tar.TypeLink, link: "./"}}, "is a directory"},
	{"hard link to a whiteout", []entry{{name: ".wh.b"}, {name: "a", typ: tar.TypeLink, link: "b"}},
		"no earlier entry"},
	{"hard link to the name of a whiteout", []entry{{name: ".wh.b"}, {name: "a", typ: tar.TypeLink, link: ".wh.b"}},
		"marks deletions"},
	{"symbolic link without a target", []entry{{name: "a", typ: tar.TypeSymlink}}, "symbolic link"},
	{"symbolic link with an endless target",
		[]entry{{name: "a", typ: tar.TypeSymlink, uid: 1, link: strings.Repeat("x/", 4000)}}, "symbolic link"},
	{"long name", []entry{{name: long}}, "longer than 255"},
	{"long name inside", []entry{{name: "a/" + long + "/b"}}, "longer than 255"},
	{"long whiteout", []entry{{name: ".wh." + long}}, "longer than 255"},
	{"long path", []entry{{name: strings.Repeat(long[:200]+"/", maxName/201+1)}}, "longer than 32768"},
	{"deep path", []entry{{name: strings.Repeat("d/", MaxDepth+1)}}, "levels deep"},
	{"whiteout of nothing", []entry{{name: ".wh."}}, "marks deletions"},
	{"whiteout of the directory", []entry{{name: "d/.wh.."}}, "marks deletions"},
	{"whiteout of the parent", []entry{{name: "d/.wh..."}}, "marks deletions"},
	{"whiteout of a whiteout", []entry{{name: "d/.wh..wh.x"}}, "marks deletions"},
	{"directory with the name of a mark", []entry{{name: ".wh..wh.d/"}}, "marks deletions"},
	{"inside of a whiteout", []entry{{name: ".wh.a/b", body: "bad"}}, "marks deletions"},
	{"inside of an opaque mark", []entry{{name: ".wh..wh..opq/b"}}, "marks deletions"},
	{"root is a file", []entry{{name: ".", body: "1"}}, "not a directory"},
	{"root is a link", []entry{{name: ".", typ: tar.TypeSymlink, link: "/OUTSIDE"}}, "not a directory"},
	{"root is a hard link", []entry{{name: "./.", typ: tar.TypeLink, link: "a"}}, "not a directory"},
	{"unknown type", []entry{{name: "a", typ: 'V'}}, "not known"},
	{"owner without an id", []entry{{name: "a", uid: 4294967295}}, "not a pair of ids"},
	{"owner beyond ids", []entry{{name: "a", gid: 1 << 40}}, "not a pair of ids"},
}

// TestHostile unpacks tars that no honest program makes. Nothing outside of the tree may change, and the error must
// name the entry.
func TestHostile(t *testing.T) {
	for _, c := range hostileTars {
		t.Run(c.name, func(t *testing.T) { testHostile(t, c) })
	}
}

func testHostile(t *testing.T, c hostileTar) {
	t.Helper()
	base, outside := t.TempDir(), ""
	outside = filepath.Join(base, "outside")
	kept := filepath.Join(outside, "kept")
	if err := errors.Join(os.MkdirAll(outside, 0o700), os.WriteFile(kept, []byte("kept"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for i := range c.entries {
		c.entries[i].link = strings.ReplaceAll(c.entries[i].link, "/OUTSIDE", outside)
	}
	dir := filepath.Join(base, "tree")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	err := unpackInto(t, dir, false, makeTar(t, c.entries...))
	last := c.entries[len(c.entries)-1].name
	var entryErr *EntryError
	if !errors.As(err, &entryErr) || entryErr.Name != last || !strings.Contains(err.Error(), c.want) {
		t.Errorf("error %v, want one about %q with %q", err, last, c.want)
	}
	names, readErr := os.ReadDir(outside)
	data, _ := os.ReadFile(kept)
	if readErr != nil || len(names) != 1 || string(data) != "kept" {
		t.Errorf("outside of the tree: %v, %q, %v", names, data, readErr)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("what was unpacked cannot be removed: %v", err)
	}
}

func TestTruncated(t *testing.T) {
	data := makeTar(t, entry{name: "a", body: strings.Repeat("x", 3000)}, entry{name: "b"})
	for _, n := range []int{100, 1500, 1536 + 2000} {
		_, err := unpackAt(t, data[:n], nil)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: error %v, want %v", n, err, io.ErrUnexpectedEOF)
		}
	}
}

func TestNotATar(t *testing.T) {
	for _, data := range []string{"hello", strings.Repeat("garbage ", 1000), "\x1f\x8b\x08"} {
		if _, err := unpackAt(t, []byte(data), nil); err == nil {
			t.Errorf("%.10q... was unpacked", data)
		}
	}
}

// TestSparse has a sparse file in each of the two forms of GNU tar. Both claim a size that would fill any disk.
func TestSparse(t *testing.T) {
	records := "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n21 GNU.sparse.name=s\n40 " +
		"GNU.sparse.realsize=1000000000000000\n"
	pax := append(rawEntry(t, 'x', records, nil), rawEntry(t, tar.TypeReg, "0\n"+strings.Repeat("\x00", 510), nil)...)
	old := rawEntry(t, tar.TypeGNUSparse, "", func(block []byte) {
		copy(block[257:], "ustar  \x00")
		copy(block[483:], "77777777777\x00") // the size with the holes
	})
	for name, data := range map[string][]byte{"PAX": pax, "old GNU": old} {
		if _, err := unpackAt(t, data, nil); err == nil || !strings.Contains(err.Error(), "sparse") {
			t.Errorf("%s: error %v, want one about sparse files", name, err)
		}
	}
}

// rawEntry makes an entry that the writer of the standard library refuses to write.
func rawEntry(t *testing.T, typ byte, body string, edit func(block []byte)) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	if err := tw.WriteHeader(&tar.Header{Name: "s", Typeflag: tar.TypeReg, Size: int64(len(body))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(tw, body); err != nil {
		t.Fatal(err)
	}
	if err := tw.Flush(); err != nil {
		t.Fatal(err)
	}
	block := buf.Bytes()[:512]
	block[156] = typ
	if edit != nil {
		edit(block)
	}
	checksum(block)
	return buf.Bytes()
}

// checksum corrects the checksum of a header.
func checksum(block []byte) {
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:156], []byte{
		'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7),
		'0' + byte(sum&7), 0, ' ',
	})
}

// TestLimits unpacks what just fits, and what does not.
func TestLimits(t *testing.T) {
	data := makeTar(t, entry{name: "d/"}, entry{name: "a", body: "12345"},
		entry{name: "d/b", body: "678", xattrs: map[string]string{"user.x": "1234"}})
	for what, c := range map[string]struct {
		limits Limits
		fits   bool
	}{
		"all fit":    {Limits{Bytes: 8, Entries: 4, Xattrs: 10}, true}, // the end takes a look, too
		"defaults":   {Limits{}, true},
		"bytes":      {Limits{Bytes: 7}, false},
		"entries":    {Limits{Entries: 2}, false},
		"xattrs":     {Limits{Xattrs: 9}, false},
		"depth":      {Limits{Depth: 1}, false},
		"many bytes": {Limits{Bytes: 1}, false},
	} {
		root, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		_, err = Unpack(root, bytes.NewReader(data), UnpackOptions{Limits: c.limits})
		if c.fits && err != nil || !c.fits && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
		root.Close()
	}
}

// TestAufsNamesAreIgnored has what early docker left in images.
func TestAufsNamesAreIgnored(t *testing.T) {
	dir := mustUnpack(t, nil, entry{name: ".wh..wh.aufs"}, entry{name: ".wh..wh.plnk/"}, entry{name: "a"})
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v; want a alone", names, err)
	}
}

// FuzzUnpack looks for tars that write outside of the tree, or that unpack to what cannot be packed or removed.
func FuzzUnpack(f *testing.F) {
	f.Add(makeTar(f, allKinds...))
	f.Add(makeTar(f, entry{name: "a", typ: tar.TypeSymlink, link: "../outside"}, entry{name: "a/x", body: "bad"}))
	f.Add(makeTar(f, entry{name: ".wh.a"}, entry{name: "a/b"}, entry{name: "c", typ: tar.TypeLink, link: "a/b"},
		entry{name: "a"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		base := t.TempDir()
		dir := filepath.Join(base, "tree")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		err := unpackInto(t, dir, false, data)
		if names, readErr := os.ReadDir(base); readErr != nil || len(names) != 1 {
			t.Fatalf("wrote outside of the tree: %v, %v", names, readErr)
		}
		if err == nil {
			if err := Pack(Tree{Dir: dir}, io.Discard, PackOptions{}); err != nil {
				t.Fatalf("unpacked what cannot be packed: %v", err)
			}
			if err := indexOf(dir, io.Discard); err != nil {
				t.Fatalf("unpacked what no index can be made of: %v", err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatalf("unpacked what cannot be removed: %v", err)
		}
	})
}

func indexOf(dir string, w io.Writer) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return WriteIndex(root, w)
}
