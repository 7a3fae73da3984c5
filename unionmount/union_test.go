package unionmount

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

func TestNearestWinsAndDirectoriesMerge(t *testing.T) {
	f := newUnion(t,
		tree{"both": file("near"), "dir/a": file("a1"), "mixed": file("a file"), "linked": symlink("dir")},
		tree{"both": file("far"), "dir/a": file("a2"), "dir/b": file("b2"), "mixed/x": file("x"),
			"linked/y": file("y")})
	f.want("both", "near")
	f.want("dir/a", "a1")
	f.want("dir/b", "b2")
	f.want("mixed", "a file")
	f.want("linked", "dir")
	f.wantNames("/", "both", "dir", "linked", "mixed")
	f.wantNames("dir", "a", "b")
}

func TestWhiteoutsOfAllForms(t *testing.T) {
	middle := tree{
		"device":     whiteout(),
		".wh.file":   file(""),
		"xattr":      file("").attr(layerfmt.WhiteoutXattr, "y"),
		"gonedir":    whiteout(),
		"d/.wh.deep": file(""),
	}
	bottom := tree{"device": file("1"), "file": file("2"), "xattr": file("3"), "gonedir/x": file("4"),
		"d/deep": file("5"), "d/kept": file("6")}
	f := newUnion(t, tree{"top": file("")}, middle, bottom)
	for _, path := range []string{"device", "file", "xattr", "gonedir", "gonedir/x", "d/deep", ".wh.file",
		"d/.wh.deep"} {
		f.want(path, gone)
	}
	f.wantNames("/", "d", "top")
	f.wantNames("d", "kept")
}

func TestOpaqueMarksInAnyLayer(t *testing.T) {
	for name, mark := range map[string]tree{
		"overlay":        {"d": opaque(), "d/new": file("new")},
		"fuse-overlayfs": {"d": directory().attr("user.fuseoverlayfs.opaque", "y"), "d/new": file("new")},
		"marker file":    {"d/" + layerfmt.OpaqueMarker: file(""), "d/new": file("new")},
		"whiteout file":  {".wh.d": file(""), "d/new": file("new")},
	} {
		t.Run(name, func(t *testing.T) {
			bottom := tree{"d/old": file("old"), "d/sub/x": file("x")}
			for _, f := range []*fixture{
				newUnion(t, mark, bottom),
				newUnion(t, tree{"d/top": file("")}, mark, bottom),
				newUnion(t, tree{"other": file("")}, mark, bottom),
			} {
				f.want("d/new", "new")
				f.want("d/old", gone)
				f.want("d/sub/x", gone)
				f.want("d/sub", gone)
			}
		})
	}
}

func TestOpaqueRoot(t *testing.T) {
	f := newUnion(t, tree{layerfmt.OpaqueMarker: file(""), "a": file("a")}, tree{"b": file("b")})
	f.wantNames("/", "a")
	f.want("b", gone)
}

func TestRootKeepsAttributes(t *testing.T) {
	f := newUnion(t, tree{".": directory().owned("3:4:1711:dir"), "a": file("a")})
	ino := f.stat("/").Ino
	for _, mode := range []uint32{0o1711, 0o750} {
		for range 2 {
			if a := f.stat("/"); a.UID != 3 || a.GID != 4 || a.Mode != unix.S_IFDIR|mode || a.Ino != ino {
				t.Errorf("root: %+v", a)
			}
			f.reopen()
		}
		must(t, f.chmod("/", 0o750))
	}
}

func TestOpaqueValueMatters(t *testing.T) {
	f := newUnion(t, tree{"d": directory().attr(layerfmt.OpaqueXattr, "x")}, tree{"d/old": file("old")})
	f.want("d/old", "old")
}

func TestOverrideMetadata(t *testing.T) {
	f := newUnion(t, tree{
		"file":    file("x").owned("33:34:4750:file"),
		"dir":     directory().owned("5:6:1777:dir"),
		"link":    file("target").owned("7:8:0777:symlink"),
		"null":    file("").owned("0:0:0666:char-1-3"),
		"disk":    file("").owned("0:6:0660:block-8-300"),
		"fifo":    file("").owned("1:1:0600:pipe"),
		"socket":  file("").owned("1:1:0600:socket"),
		"plain":   file("y").mode(0o640),
		"fakewh":  file("").owned("0:0:0600:char-0-0"),
		"realinx": symlink("t"),
	})
	for path, want := range map[string]Attr{
		"file":    {Mode: unix.S_IFREG | 0o4750, UID: 33, GID: 34, Size: 1},
		"dir":     {Mode: unix.S_IFDIR | 0o1777, UID: 5, GID: 6},
		"link":    {Mode: unix.S_IFLNK | 0o777, UID: 7, GID: 8, Size: 6},
		"null":    {Mode: unix.S_IFCHR | 0o666, Rdev: unix.Mkdev(1, 3)},
		"disk":    {Mode: unix.S_IFBLK | 0o660, GID: 6, Rdev: unix.Mkdev(8, 300)},
		"fifo":    {Mode: unix.S_IFIFO | 0o600, UID: 1, GID: 1},
		"socket":  {Mode: unix.S_IFSOCK | 0o600, UID: 1, GID: 1},
		"plain":   {Mode: unix.S_IFREG | 0o640, Size: 1},
		"fakewh":  {Mode: unix.S_IFCHR | 0o600},
		"realinx": {Mode: unix.S_IFLNK | 0o777, Size: 1},
	} {
		a := f.stat(path)
		got := Attr{Mode: a.Mode, UID: a.UID, GID: a.GID, Rdev: a.Rdev, Size: a.Size}
		if a.Mode&unix.S_IFMT == unix.S_IFDIR {
			got.Size = 0
		}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", path, got, want)
		}
	}
	f.want("link", "target")
}

func TestBadOverrideMetadataIsAnError(t *testing.T) {
	f := newUnion(t, tree{"bad": file("").owned("1:2:rwx"), "good": file("g")})
	if _, err := f.walk("bad"); err == nil || !strings.Contains(err.Error(), layerfmt.StatXattr) {
		t.Errorf("got %v, want an error that names the xattr", err)
	}
	f.wantNames("/", "good")
}

func TestReadOnlyUnion(t *testing.T) {
	f := newUnion(t, tree{"a": file("a"), "d": directory()})
	f.close()
	f.opts.Upper, f.opts.Work = "", ""
	f.open()
	f.want("a", "a")
	for what, err := range map[string]error{
		"create": f.create("b", 0o644), "mkdir": f.mkdir("b", 0o755), "unlink": f.unlink("a"), "rmdir": f.rmdir("d"),
		"rename": f.rename("a", "b", 0), "write": f.write("a", "x", 0), "chmod": f.chmod("a", 0),
		"link":    f.link("a", "b"),
		"symlink": f.symlink("a", "b"),
	} {
		wantErrno(t, what, err, unix.EROFS)
	}
}

func TestNames(t *testing.T) {
	f := newUnion(t, tree{"lower": file("")})
	long := strings.Repeat("n", unix.NAME_MAX)
	must(t, f.create(long, 0o644))
	f.wantNames("/", "lower", long)
	must(t, f.unlink(long))
	wantErrno(t, "create of 256 bytes", f.create(long+"n", 0o644), unix.ENAMETOOLONG)
	_, err := f.walk(long + "n")
	wantErrno(t, "lookup of 256 bytes", err, unix.ENAMETOOLONG)
	for _, name := range []string{".wh.lower", ".wh.", ".wh..wh..opq"} {
		wantErrno(t, "create "+name, f.create(name, 0o644), unix.EPERM)
		wantErrno(t, "mkdir "+name, f.mkdir(name, 0o755), unix.EPERM)
		wantErrno(t, "symlink "+name, f.symlink("x", name), unix.EPERM)
		wantErrno(t, "link "+name, f.link("lower", name), unix.EPERM)
		wantErrno(t, "rename "+name, f.rename("lower", name, 0), unix.EPERM)
	}
	for _, name := range []string{"", ".", "..", "a/b", "a\x00"} {
		_, _, err := f.u.Lookup(f.u.Root(), name)
		wantErrno(t, "lookup of "+name, err, unix.EINVAL)
	}
	f.want("lower", "")
}

func TestDeepPaths(t *testing.T) {
	name := strings.Repeat("d", 200)
	lower := t.TempDir()
	dir, err := unix.Open(lower, unix.O_PATH, 0)
	must(t, err)
	const depth = 40 // 8 KB of path, twice what the kernel takes
	for range depth {
		must(t, unix.Mkdirat(dir, name, 0o755))
		next, err := unix.Openat(dir, name, unix.O_PATH, 0)
		must(t, err)
		unix.Close(dir)
		dir = next
	}
	unix.Close(dir)
	f := newUnion(t)
	f.close()
	f.opts.Lowers = []Layer{{Dir: lower, Ownership: CallerOwned}}
	f.open()
	deep := strings.Repeat("/"+name, depth)
	must(t, f.create(deep+"/file", 0o644))
	must(t, f.write(deep+"/file", "deep", 0))
	f.reopen()
	f.want(deep+"/file", "deep")
	must(t, f.unlink(deep+"/file"))
	f.wantNames(deep)
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, opts := range map[string]Options{
		"nothing":     {},
		"no work":     {Upper: dir},
		"no such":     {Lowers: []Layer{{Dir: dir + "/none", Ownership: CallerOwned}}},
		"ownership":   {Lowers: []Layer{{Dir: dir, Ownership: "nobody"}}},
		"other disk":  {Upper: dir, Work: "/dev/shm"},
		"not a layer": {Lowers: []Layer{{Dir: "/etc/passwd", Ownership: HostOwned}}},
	} {
		if u, err := Open(opts); err == nil {
			u.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

func TestOpenClearsStage(t *testing.T) {
	f := newUnion(t, tree{"a": file("a")})
	f.close()
	must(t, os.MkdirAll(f.opts.Work+"/stage/1/2", 0o755))
	must(t, os.WriteFile(f.opts.Work+"/stage/1/2/3", nil, 0o600))
	f.open()
	must(t, f.chmod("a", 0o600))
	f.want("a", "a")
}

// TestListedNames looks names up before and after the directory was listed, which tells where to look for them.
func TestListedNames(t *testing.T) {
	f := newUnion(t, tree{"d/a": file("top"), "d/.wh.c": file(""), "d/s/x": file("")},
		tree{"d/b": file("middle"), "d/c": file("hidden"), "d/.wh.e": file("")},
		tree{"d/a": file("below"), "d/c": file("hidden"), "d/e": file("hidden"), "d/f": file("low"), "d/s/y": file("")})
	look := func() {
		t.Helper()
		for name, want := range map[string]bool{"a": true, "b": true, "c": false, "e": false, "f": true,
			"none": false, "s/x": true, "s/y": true} {
			n, err := f.walk("d/" + name)
			if exists, err := visible(err); err != nil || exists != want {
				t.Errorf("%s exists: %v, %v", name, exists, err)
			}
			if n != nil {
				f.u.Forget(n, 1)
			}
		}
	}
	look()
	if got := f.ls("d"); !slices.Equal(got, []string{"a", "b", "f", "s"}) {
		t.Errorf("listed %q", got)
	}
	look()
	d, err := f.walk("d")
	must(t, err)
	defer f.u.Forget(d, 1)
	must(t, f.u.Unlink(d, "f"))
	n, _, err := f.u.Create(d, "f", 0o644, Owner{})
	must(t, err)
	f.u.Forget(n, 1)
	must(t, f.u.Unlink(d, "f"))
	if _, _, err := f.u.Lookup(d, "f"); err != unix.ENOENT {
		t.Errorf("a lower file deleted twice: %v", err)
	}
}
