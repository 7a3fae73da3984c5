package tree

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// entry is one entry of a tar in a test. The zero values are those of an empty file of root's with no permissions.
type entry struct {
	name     string
	typ      byte // 0 is a directory if the name ends with "/", else a regular file
	mode     int64
	uid, gid int
	body     string
	link     string
	xattrs   map[string]string
	maj, min int64
	size     int64 // of the header, where it is not that of body
}

// then is the time of all entries in tests; tars keep fractions of a second in PAX records.
var then = time.Unix(1_600_000_000, 123456789)

func (e entry) header() *tar.Header {
	hdr := &tar.Header{
		Name: e.name, Typeflag: e.typ, Mode: e.mode, Uid: e.uid, Gid: e.gid, Linkname: e.link, Size: int64(len(e.body)),
		Devmajor: e.maj, Devminor: e.min, ModTime: then, Format: tar.FormatPAX,
	}
	if e.typ == 0 {
		hdr.Typeflag = tar.TypeReg
		if strings.HasSuffix(e.name, "/") {
			hdr.Typeflag = tar.TypeDir
		}
	}
	if e.size != 0 {
		hdr.Size = e.size
	}
	for name, value := range e.xattrs {
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = map[string]string{}
		}
		hdr.PAXRecords[paxXattr+name] = value
	}
	return hdr
}

func makeTar(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := tw.WriteHeader(e.header()); err != nil {
			t.Fatalf("write header of %q: %v", e.name, err)
		}
		if _, err := io.WriteString(tw, e.body); err != nil {
			t.Fatalf("write %q: %v", e.name, err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// readTar lists the headers and contents of a tar, without what says nothing about the entries.
func readTar(t *testing.T, r io.Reader) []entry {
	t.Helper()
	var list []entry
	eachEntry(t, r, func(hdr *tar.Header, body string) {
		e := entry{
			name: hdr.Name, typ: hdr.Typeflag, mode: hdr.Mode, uid: hdr.Uid, gid: hdr.Gid, body: body,
			link: hdr.Linkname, maj: hdr.Devmajor, min: hdr.Devminor, size: hdr.Size, xattrs: map[string]string{},
		}
		if !hdr.ModTime.Equal(then) {
			t.Errorf("entry %q has the time %v, want %v", hdr.Name, hdr.ModTime, then)
		}
		for key, value := range hdr.PAXRecords {
			if name, ok := strings.CutPrefix(key, paxXattr); ok {
				e.xattrs[name] = value
			}
		}
		list = append(list, e)
	})
	return list
}

// eachEntry calls visit for each entry of a tar.
func eachEntry(t *testing.T, r io.Reader, visit func(hdr *tar.Header, body string)) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		visit(hdr, string(body))
	}
}

// unpackAt unpacks a tar into a new tree and returns its directory.
func unpackAt(t testing.TB, data []byte, lowers Lowers) (string, error) {
	t.Helper()
	return unpackFrom(t, lowers, bytes.NewReader(data))
}

func unpackFrom(t testing.TB, lowers Lowers, r io.Reader) (string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	_, err = Unpack(root, r, UnpackOptions{Lowers: lowers})
	return dir, err
}

// on returns the trees that have their xattrs on disk, at the given places.
func on(dirs ...string) (l Lowers) {
	for _, dir := range dirs {
		l = append(l, Tree{Dir: dir})
	}
	return l
}

func mustUnpack(t testing.TB, lowers Lowers, entries ...entry) string {
	t.Helper()
	dir, err := unpackAt(t, makeTar(t, entries...), lowers)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func sameEntries(a, b []entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if !maps.Equal(x.xattrs, y.xattrs) {
			return false
		}
		x.xattrs, y.xattrs = nil, nil
		if x.name != y.name || x.typ != y.typ || x.mode != y.mode || x.uid != y.uid || x.gid != y.gid ||
			x.body != y.body || x.link != y.link || x.maj != y.maj || x.min != y.min || x.size != y.size {
			return false
		}
	}
	return true
}
