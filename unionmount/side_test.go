package unionmount

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/xattrlog"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
)

// sided says that unions keep the xattrs of their uppers in a record.
var sided bool

// sidedEnv tells a process that a test starts the same.
const sidedEnv = "RCRUN_SIDED_TEST"

// newSidedUnion is newUnion with a record.
func newSidedUnion(t *testing.T, lowers ...tree) *fixture {
	t.Helper()
	f := plantUnion(t, t.TempDir(), lowers...)
	f.opts.SideXattrs = true
	f.open()
	t.Cleanup(f.close)
	return f
}

// TestRecordTakesAllXattrs checks that an upper with a record has none on disk, and that it goes on using it.
func TestRecordTakesAllXattrs(t *testing.T) {
	f := newSidedUnion(t, tree{"d/lower": file(bigData), "d/x": file(""), "e/x": file("")})
	must(t, f.chown("d/lower", 1, 2))
	must(t, f.setXattr("d/lower", "user.note", "n"))
	must(t, f.create("new", 0o4711))
	must(t, f.rename("e", "moved", 0))
	f.opts.SideXattrs = false
	f.reopen()
	must(t, f.chown("new", 3, 4))
	for _, path := range []string{".", "d", "d/lower", "new", "moved"} {
		if names, err := (beneath.File{FD: unix.AT_FDCWD, Name: f.opts.Upper + "/" + path}).Xattrs(); err != nil ||
			len(names) > 0 {
			t.Errorf("%s has %q on disk, %v", path, names, err)
		}
	}
	if a := f.stat("new"); a.UID != 3 || a.GID != 4 || a.Mode != unix.S_IFREG|0o711 {
		t.Errorf("%+v", a)
	}
	f.want("d/lower", bigData)
	f.wantNames("moved", "x")
}

// recorded returns the inode number of a file of the upper and what the record on disk has of it.
func (f *fixture) recorded(path string) (ino uint64, names []string) {
	f.t.Helper()
	root, err := beneath.Stat(unix.AT_FDCWD, f.opts.Upper)
	must(f.t, err)
	st, err := beneath.Stat(unix.AT_FDCWD, f.opts.Upper+"/"+path)
	must(f.t, err)
	return st.Ino, f.recordOf(root.Ino, st.Ino)
}

func (f *fixture) recordOf(root, ino uint64) []string {
	f.t.Helper()
	r, err := xattrlog.Read(f.opts.Work+"/"+xattrlog.Name, root)
	must(f.t, err)
	return r.Names(ino)
}

// TestRecordForgetsRemovedFiles removes files in all ways there are: as soon as they are no longer open, the record
// says nothing of them, so that it says nothing of another file that gets the inode number.
func TestRecordForgetsRemovedFiles(t *testing.T) {
	f := newSidedUnion(t, tree{"h": file("hard"), "h2": hardlink("h"), "other": file("")})
	root, err := beneath.Stat(unix.AT_FDCWD, f.opts.Upper)
	must(t, err)
	removals := map[string]func() error{
		"unlink":   func() error { must(t, f.create("x", 0o4711)); return nil },
		"rmdir":    func() error { return f.mkdir("x", 0o1777) },
		"replaced": func() error { must(t, f.create("x", 0o4711)); return f.create("y", 0o644) },
		"copy":     func() error { must(t, f.chown("h", 5, 6)); return f.rename("h", "x", 0) },
	}
	for what, make := range removals {
		must(t, make())
		ino, names := f.recorded("x")
		if len(names) == 0 {
			t.Errorf("%s: there is no record of it", what)
		}
		n, err := f.walk("x")
		must(t, err)
		switch what {
		case "rmdir":
			must(t, f.rmdir("x"))
		case "replaced":
			must(t, f.rename("y", "x", 0))
		case "copy":
			must(t, f.unlink("h2"))
			must(t, f.unlink("x"))
		default:
			must(t, f.unlink("x"))
		}
		if len(f.recordOf(root.Ino, ino)) == 0 && what != "copy" {
			t.Errorf("%s: it is still open, and its record gone", what)
		}
		f.u.Forget(n, 1)
		if names := f.recordOf(root.Ino, ino); len(names) > 0 {
			t.Errorf("%s: %q are left", what, names)
		}
	}
}

// TestRecordAfterCrash has the record say something of inode numbers that other files have by now, or none.
func TestRecordAfterCrash(t *testing.T) {
	f := newSidedUnion(t, tree{"lower": file("")})
	must(t, f.create("kept", 0o4711))
	must(t, f.create("gone", 0o4711))
	ino, _ := f.recorded("gone")
	root, err := beneath.Stat(unix.AT_FDCWD, f.opts.Upper)
	must(t, err)
	before, err := os.ReadFile(f.opts.Work + "/" + xattrlog.Name)
	must(t, err)
	f.close()
	must(t, os.WriteFile(f.opts.Work+"/"+xattrlog.Name, before, 0o600)) // as if it had been killed, and then
	must(t, os.Remove(f.opts.Upper+"/gone"))
	f.open()
	if names := f.recordOf(root.Ino, ino); len(names) > 0 {
		t.Errorf("%q are left of a file that is not there", names)
	}
	if a := f.stat("kept"); a.Mode != unix.S_IFREG|0o4711 {
		t.Errorf("%+v", a)
	}
	// Whatever it says of a number: a file that is made has nothing from the one before it.
	used := map[uint64]bool{}
	for _, name := range []string{".", "kept"} {
		ino, _ := f.recorded(name)
		used[ino] = true
	}
	for i := ino - min(ino, 4096); i < ino+4096; i++ {
		if !used[i] {
			must(t, f.u.upper.Xattrs.(encoding.Beside).Log.Set(i, "user.note", "of another", 0))
		}
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		must(t, f.create(name, 0o644))
		err := f.at(name, func(n *Node) error { _, err := f.u.GetXattr(n, "user.note"); return err })
		wantErrno(t, name, err, unix.ENODATA)
		if ino, names := f.recorded(name); len(names) > 0 {
			t.Errorf("%s, %d: %q", name, ino, names)
		}
	}
}

// TestRecordIsNotLost checks that an upper whose record is missing, damaged or another's is refused.
func TestRecordIsNotLost(t *testing.T) {
	f := newSidedUnion(t, tree{"lower": file("")})
	must(t, f.create("new", 0o4711))
	f.close()
	path := f.opts.Work + "/" + xattrlog.Name
	whole, err := os.ReadFile(path)
	must(t, err)
	refused := func(what, why string) {
		t.Helper()
		if u, err := Open(f.opts); err == nil || !strings.Contains(err.Error(), path) ||
			!strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", what, err)
			if err == nil {
				u.Close()
			}
		}
	}
	must(t, os.Remove(path))
	refused("missing", "not empty")
	must(t, os.WriteFile(path, []byte("something else"), 0o600))
	refused("damaged", "cannot be used")
	other := newSidedUnion(t, tree{"lower": file("")})
	foreign, err := os.ReadFile(other.opts.Work + "/" + xattrlog.Name)
	must(t, err)
	must(t, os.WriteFile(path, foreign, 0o600))
	refused("another's", "copy")
	must(t, os.WriteFile(path, whole, 0o600))
	f.open()
}

// TestLimitsOfXattrs checks that those in a record are refused where a filesystem refuses them, and flags count.
func TestLimitsOfXattrs(t *testing.T) {
	f := newSidedUnion(t, tree{"lower": file("")})
	wantErrno(t, "long value", f.setXattr("lower", "user.a", strings.Repeat("v", 64<<10+1)), unix.E2BIG)
	must(t, f.setXattr("lower", "user.a", strings.Repeat("v", 64<<10)))
	wantErrno(t, "long name", f.setXattr("lower", "trusted."+strings.Repeat("n", 245), ""), unix.ERANGE)
}

// plain has the lowers of a union be plain files, what they stand for being in their indexes alone: those are made of
// the trees as planted, which then lose all xattrs.
func (f *fixture) plain() {
	f.t.Helper()
	for i, l := range f.opts.Lowers {
		writeIndex(f.t, l)
		f.opts.Lowers[i].Plain = true
	}
}

// TestPlainLowers shows the metadata of files that have none.
func TestPlainLowers(t *testing.T) {
	f := plantUnion(t, t.TempDir(), tree{"d": opaque(), "d/top": file("x").owned("1:2:4711:file")},
		tree{"d/hidden": file(""), "dev": file("").owned("0:0:0666:char-1-3"),
			"e/sub/f": file(bigData).attr("user.t", "v").owned("33:34:0640:file")})
	f.plain()
	for _, path := range []string{"/lower0/d", "/lower0/d/top", "/lower1/dev", "/lower1/e/sub/f"} {
		full := strings.TrimSuffix(f.opts.Upper, "/upper") + path
		names, err := (beneath.File{FD: unix.AT_FDCWD, Name: full}).Xattrs()
		must(t, err)
		for _, name := range names {
			must(t, unix.Removexattr(full, name))
		}
	}
	f.open()
	t.Cleanup(f.close)
	check := func() {
		t.Helper()
		f.wantNames("d", "top")
		if a := f.stat("d/top"); a.UID != 1 || a.Mode != unix.S_IFREG|0o4711 {
			t.Errorf("%+v", a)
		}
		if a := f.stat("dev"); a.Mode != unix.S_IFCHR|0o666 || a.Rdev != unix.Mkdev(1, 3) {
			t.Errorf("%+v", a)
		}
	}
	f.remounted(check)
	must(t, f.chmod("e/sub/f", 0o600)) // a copy that refers to the lower
	must(t, f.rename("e", "moved", 0)) // a directory that does
	f.remounted(func() {
		check()
		f.want("moved/sub/f", bigData)
		if a := f.stat("moved/sub/f"); a.UID != 33 || a.GID != 34 || a.Mode != unix.S_IFREG|0o600 {
			t.Errorf("%+v", a)
		}
	})
}

// TestPlainLowerNeedsIndex loses and spoils the index of a layer that is nothing without it.
func TestPlainLowerNeedsIndex(t *testing.T) {
	f := plantUnion(t, t.TempDir(), tree{"d/e/f": file("x").owned("1:2:4711:file"), "other": file("")})
	f.plain()
	index := f.opts.Lowers[0].Index
	whole, err := os.ReadFile(index)
	must(t, err)
	must(t, os.Remove(index))
	for _, data := range [][]byte{nil, whole[:len(whole)-1]} {
		if data != nil {
			must(t, os.WriteFile(index, data, 0o600))
		}
		if u, err := Open(f.opts); err == nil || !strings.Contains(err.Error(), "get the image again") {
			t.Errorf("%d bytes: %v", len(data), err)
			if err == nil {
				u.Close()
			}
		}
	}
	// The block of the innermost directory comes first.
	spoilt := append([]byte(nil), whole...)
	spoilt[8+10] ^= 1
	must(t, os.Remove(index))
	must(t, os.WriteFile(index, spoilt, 0o600))
	f.open()
	t.Cleanup(f.close)
	_, err = f.walk("d/e")
	wantErrno(t, "directory with a spoilt block", err, unix.EIO)
	_, err = f.walk("other")
	must(t, err)
	must(t, f.at("other", func(n *Node) error { f.u.Forget(n, 1); return nil }))
}

// TestExchangeRefused does without the exchange of a directory and a whiteout, as NFS has it.
func TestExchangeRefused(t *testing.T) {
	f := newUnion(t, tree{"d/x": file("x"), "e/y": file("y")})
	must(t, f.at("d", func(n *Node) error { return nil }))
	must(t, f.unlink("d/x"))
	must(t, f.rmdir("d"))
	dir, err := unix.Open(f.opts.Upper, unix.O_PATH, 0)
	must(t, err)
	defer unix.Close(dir)
	if p, err := f.u.upper.Probe(dir, "d"); err == nil && p.Whiteout {
		must(t, hideBeside(dir, "d"))
	}
	f.reopen()
	f.wantNames("/", "e")
	must(t, f.mkdir("d", 0o700))
	f.remounted(func() { f.wantNames("d") })
}
