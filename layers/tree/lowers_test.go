package tree

import (
	"archive/tar"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// stack makes three layers, the nearest first.
func threeLayers(t *testing.T) Lowers {
	bottom := mustUnpack(t, nil,
		entry{name: "a/", uid: 1}, entry{name: "a/only-bottom", uid: 1}, entry{name: "a/deleted", uid: 1},
		entry{name: "opaque/hidden", uid: 1}, entry{name: "file", uid: 1}, entry{name: "was-dir/x", uid: 1},
		entry{name: "link", typ: tar.TypeSymlink, link: "a"})
	mid := mustUnpack(t, on(bottom),
		entry{name: "a/", uid: 2}, entry{name: "a/.wh.deleted"}, entry{name: "opaque/", uid: 2},
		entry{name: "opaque/.wh..wh..opq"},
		entry{name: "file/", uid: 2}, entry{name: "file/in", uid: 2}, entry{name: "was-dir", uid: 2})
	top := mustUnpack(t, on(mid, bottom), entry{name: "a/new", uid: 3}, entry{name: "opaque/top", uid: 3})
	return on(top, mid, bottom)
}

func TestLookup(t *testing.T) {
	lowers := threeLayers(t)
	for name, uid := range map[string]int{
		"a": 2, "a/only-bottom": 1, "a/new": 3, "a/deleted": -1, "opaque": 2, "opaque/hidden": -1, "opaque/top": 3,
		"file/in": 2, "was-dir": 2, "was-dir/x": -1, "link": 0, "link/only-bottom": -1, "none": -1, "none/none": -1,
	} {
		st, ok := lowers.Lookup(strings.Split(name, "/"))
		if ok != (uid >= 0) || ok && int(st.UID) != uid {
			t.Errorf("%s: got uid %d, %v; want %d", name, st.UID, ok, uid)
		}
	}
	if st, ok := lowers.Lookup(nil); !ok || st.Mode != unix.S_IFDIR|0o755 {
		t.Errorf("root: got %+v, %v", st, ok)
	}
	if _, ok := Lowers(nil).Lookup(nil); ok {
		t.Error("an empty stack has a root")
	}
}

func TestChanges(t *testing.T) {
	upper := mustUnpack(t, nil,
		entry{name: "a/"}, entry{name: "a/only-bottom"}, entry{name: "a/.wh.new"}, entry{name: "a/deleted"},
		entry{name: "opaque/"}, entry{name: "opaque/.wh..wh..opq"}, entry{name: "opaque/hidden"}, entry{name: "mine/x"})
	// A whiteout as a file, as other writers of layer trees have it.
	if err := os.WriteFile(filepath.Join(upper, layerfmt.WhiteoutPrefix+"file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	changes, err := Changes(context.Background(), Tree{Dir: upper}, threeLayers(t), Writable{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, "AMD"[c.Kind:c.Kind+1]+" "+c.Path)
	}
	slices.Sort(got)
	want := []string{"A /a/deleted", "A /mine", "A /mine/x", "A /opaque/hidden", "D /a/new", "D /file", "D /opaque/top",
		"M /a", "M /a/only-bottom", "M /opaque"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestSize(t *testing.T) {
	dir := mustUnpack(t, nil, entry{name: "a", body: "12345"}, entry{name: "b", typ: tar.TypeLink, link: "a"},
		entry{name: "c", body: "1"}, entry{name: "l", typ: tar.TypeSymlink, link: "a"}, entry{name: ".wh.d"})
	if n, err := Size(context.Background(), Tree{Dir: dir}); n != 6 || err != nil {
		t.Errorf("got %d, %v; want 6", n, err)
	}
}

func TestFiles(t *testing.T) {
	dir := mustUnpack(t, nil, entry{name: "a/b", body: "content"}, entry{name: "l", typ: tar.TypeSymlink, link: "a"})
	files, err := OpenFiles(Tree{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for _, name := range []string{"a/b", "./a/b", "/a//b", "l/b"} {
		f, err := files.Get(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f.Close()
	}
	for _, name := range []string{"", "../tree/a/b", "l", "none"} {
		if f, err := files.Get(name); err == nil {
			f.Close()
			t.Errorf("%q was opened", name)
		}
	}
	pool := &beneath.Pool{}
	defer pool.Close()
	root, err := Tree{Dir: dir}.open(pool)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := (stack{root}).openBelow(&layerfmt.Below{Layers: []int{1}, Path: "l/b"}); err == nil {
		f.Close()
		t.Error("a name with a link was opened where none may be followed")
	}
}

// listed are xattrs that every file has.
type listed []string

func (listed) get(location, string) (string, error) { return "", nil }

func (x listed) list(location) ([]string, error) { return x, nil }

func (listed) close() error { return nil }

// TestWhiteoutXattrs checks that a tree is read as the union reads it, whatever marked the whiteouts.
func TestWhiteoutXattrs(t *testing.T) {
	for _, c := range []struct {
		xattrs listed
		st     unix.Stat_t
		want   bool
	}{
		{listed{layerfmt.WhiteoutXattr}, unix.Stat_t{Mode: unix.S_IFREG}, true},
		{listed{"user.a", layerfmt.PrivilegedWhiteoutXattr}, unix.Stat_t{Mode: unix.S_IFREG}, true},
		{listed{layerfmt.WhiteoutXattr}, unix.Stat_t{Mode: unix.S_IFREG, Size: 1}, false},
		{listed{layerfmt.WhiteoutXattr}, unix.Stat_t{Mode: unix.S_IFDIR}, false},
		{listed{layerfmt.OpaqueXattr}, unix.Stat_t{Mode: unix.S_IFREG}, false},
		{nil, unix.Stat_t{Mode: unix.S_IFCHR}, true},
	} {
		if got := isMarkStat(location{name: "f", xattrs: c.xattrs}, &c.st); got != c.want {
			t.Errorf("a file of mode %#o and size %d with %q is a whiteout: %v", c.st.Mode, c.st.Size, c.xattrs, got)
		}
	}
}
