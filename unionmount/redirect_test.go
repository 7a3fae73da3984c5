package unionmount

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// mergedTree is a directory d that three layers have a part of, with something deleted from it.
func mergedTree() []tree {
	return []tree{
		{"d/top": file("top"), "d/gone": whiteout(), "d/sub/s": file("s0")},
		{"other/o": file("o")},
		{"d/bottom": file("bottom"), "d/gone": file("gone"), "d/sub/s": file("s2"), "d/sub/deep/x": file("x"),
			"e/old": file("old")},
	}
}

// wantMerged checks that path shows what mergedTree has at d.
func (f *fixture) wantMerged(path string) {
	f.t.Helper()
	f.wantNames(path, "bottom", "sub", "top")
	f.want(path+"/top", "top")
	f.want(path+"/bottom", "bottom")
	f.want(path+"/gone", gone)
	f.want(path+"/sub/s", "s0")
	f.want(path+"/sub/deep/x", "x")
}

// remounted runs check before and after a remount.
func (f *fixture) remounted(check func()) {
	f.t.Helper()
	check()
	f.reopen()
	check()
}

func TestRenameMergedDirectory(t *testing.T) {
	f := newUnion(t, mergedTree()...)
	before := f.stat("d")
	must(t, f.rename("d", "new", 0))
	f.remounted(func() {
		f.wantMerged("new")
		f.want("d", gone)
		f.wantNames("/", "e", "new", "other")
		if a := f.stat("new"); a.Ino != before.Ino || a.Mode != before.Mode || a.Mtime != before.Mtime {
			t.Errorf("got %+v, before %+v", a, before)
		}
	})
	must(t, f.write("new/bottom", "B", 0))
	must(t, f.unlink("new/top"))
	must(t, f.chmod("new/sub/deep/x", 0o600))
	must(t, f.create("new/made", 0o644))
	f.remounted(func() {
		f.wantNames("new", "bottom", "made", "sub")
		f.want("new/bottom", "Bottom")
		f.want("new/sub/deep/x", "x")
	})
	must(t, f.mkdir("d", 0o755))
	f.remounted(func() { f.wantNames("d"); f.wantNames("new", "bottom", "made", "sub") })
}

func TestRenameNestedDirectories(t *testing.T) {
	f := newUnion(t, mergedTree()...)
	deep := f.stat("d/sub/deep").Ino
	must(t, f.rename("d/sub/deep", "d/sub/moved", 0)) // below, first
	must(t, f.rename("d", "e/in", 0))
	must(t, f.rename("e/in/sub", "sub", 0)) // out of one that was moved
	f.remounted(func() {
		f.wantNames("e/in", "bottom", "top")
		f.wantNames("sub", "moved", "s")
		f.want("sub/moved/x", "x")
		f.want("e/in/sub", gone)
		f.want("e/old", "old")
		if ino := f.stat("sub/moved").Ino; ino != deep {
			t.Errorf("inode %d, want %d", ino, deep)
		}
	})
	must(t, f.rename("e", "sub/e", 0))
	must(t, f.rename("sub", "s", 0))
	f.remounted(func() {
		f.wantNames("/", "other", "s")
		f.want("s/e/in/top", "top")
		f.want("s/e/old", "old")
		f.want("s/moved/x", "x")
	})
}

func TestRenameBack(t *testing.T) {
	f := newUnion(t, mergedTree()...)
	must(t, f.rename("d", "new", 0))
	f.reopen()
	must(t, f.rename("new", "d", 0))
	f.remounted(func() { f.wantMerged("d"); f.want("new", gone) })
	for _, name := range []string{layerfmt.RedirectXattr, layerfmt.OpaqueXattr} {
		if _, err := readXattr(f.opts.Upper+"/d", name); err != unix.ENODATA {
			t.Errorf("%s is left: %v", name, err)
		}
	}
}

func TestRenameOverWhatLowersHave(t *testing.T) {
	f := newUnion(t, mergedTree()...)
	must(t, f.unlink("e/old"))
	must(t, f.rename("d", "e", 0))
	f.remounted(func() { f.wantMerged("e"); f.want("d", gone) })
	must(t, f.rename("other", "d", 0))
	f.remounted(func() { f.wantMerged("e"); f.wantNames("d", "o") })
}

func TestExchangeMergedDirectories(t *testing.T) {
	f := newUnion(t, mergedTree()...)
	must(t, f.rename("d", "e", unix.RENAME_EXCHANGE))
	f.remounted(func() { f.wantMerged("e"); f.wantNames("d", "old") })
	must(t, f.rename("e/top", "d", unix.RENAME_EXCHANGE))
	f.remounted(func() { f.want("d", "top"); f.wantNames("e/top", "old"); f.want("e/bottom", "bottom") })
	must(t, f.rename("e", "other", unix.RENAME_EXCHANGE))
	f.remounted(func() { f.wantNames("e", "o"); f.wantNames("other/top", "old"); f.want("other/sub/deep/x", "x") })
}

// TestRenameKeepsTime checks the time of a directory that is renamed, also where a whiteout was, with which it
// changes places: XFS counts that as a change of the directory.
func TestRenameKeepsTime(t *testing.T) {
	f := newUnion(t, tree{"removed": file("x"), "free/file": file("x"), "lower/file": file("x")})
	must(t, f.unlink("removed"))
	must(t, f.mkdir("new", 0o755))
	want := unix.Timespec{Sec: 500, Nsec: 5}
	for _, name := range []string{"new", "lower"} {
		must(t, f.setattr(name, SetAttr{Mtime: &want}))
		for _, to := range []string{"free/here", "removed", name} {
			must(t, f.rename(name, to, 0))
			if got := f.stat(to).Mtime; got != want {
				t.Errorf("%s, renamed to %s, has the time %v, want %v", name, to, got, want)
			}
			must(t, f.rename(to, name, 0))
		}
	}
}

func TestRenameLeavingDevice(t *testing.T) {
	f := newUnion(t, mergedTree()...)
	must(t, f.create("file", 0o644))
	for _, path := range []string{"d", "e/old", "file"} {
		must(t, f.rename(path, "moved", unix.RENAME_WHITEOUT|unix.RENAME_NOREPLACE))
		f.remounted(func() {
			if a := f.stat(path); a.Mode != unix.S_IFCHR || a.Rdev != 0 {
				t.Errorf("%s: %+v", path, a)
			}
			if names := f.ls("/"); !slices.Contains(names, "moved") {
				t.Errorf("%q", names)
			}
		})
		must(t, f.rename("moved", "away-"+path[:1], 0))
	}
	f.wantMerged("away-d")
}

func TestRenamedDirectoryIsOpaqueToOthers(t *testing.T) {
	f := newUnion(t, mergedTree()...)
	must(t, f.rename("d", "e2", 0))
	if value, err := f.u.upper.Xattrs.Read(beneath.File{FD: unix.AT_FDCWD, Name: f.opts.Upper + "/e2"},
		layerfmt.OpaqueXattr); string(value) != "y" {
		t.Errorf("%q, %v", value, err)
	}
}

func TestRenameWithManyLayers(t *testing.T) {
	var lowers []tree
	for i := range 300 {
		lowers = append(lowers, tree{fmt.Sprintf("d/%03d", i): file(fmt.Sprint(i)), "d/all": file(fmt.Sprint(i))})
	}
	f := newUnion(t, lowers...)
	must(t, f.rename("d", "new", 0))
	f.remounted(func() {
		if n := len(f.ls("new")); n != 301 {
			t.Errorf("%d names", n)
		}
		f.want("new/all", "0")
		f.want("new/299", "299")
		f.want("d", gone)
	})
}

// TestRenameWithoutDevices is the table's essence where whiteouts are files.
func TestRenameWithoutDevices(t *testing.T) {
	f := newUnion(t, mergedTree()...)
	reopen := func() { f.reopen(); f.u.work.Devices = false }
	reopen()
	must(t, f.rename("d", "new", 0))
	f.wantMerged("new")
	reopen()
	f.wantMerged("new")
	f.want("d", gone)
	must(t, f.rename("e", "d", 0))
	reopen()
	f.wantNames("d", "old")
	must(t, f.rename("d", "new", unix.RENAME_EXCHANGE))
	must(t, f.unlink("new/old"))
	must(t, f.rename("d", "new", 0))
	reopen()
	f.wantMerged("new")
	f.wantNames("/", "new", "other")
	must(t, f.rename("new", "d", 0))
	reopen()
	f.wantMerged("d")
	f.wantNames("/", "d", "other")
}

func TestRenamedDirectoryOfHost(t *testing.T) {
	f := newUnion(t, tree{"d/x": file("x"), "d/sub/y": file("y")})
	f.close()
	f.opts.Lowers[0].Ownership = HostOwned
	f.open()
	must(t, f.rename("d/sub", "sub", 0))
	must(t, f.rename("d", "sub/d", 0))
	must(t, f.chmod("sub/y", 0o600))
	f.remounted(func() {
		f.want("sub/y", "y")
		f.want("sub/d/x", "x")
		f.wantNames("/", "sub")
		f.wantNames("sub/d", "x")
	})
	must(t, os.WriteFile(f.opts.Lowers[0].Dir+"/d/sub/y", []byte("edited on the host"), 0o644))
	f.want("sub/y", "edited on the host")
}

// TestRenameOverEmptiedDirectory replaces a directory in which everything was deleted, also when it ends half-way.
func TestRenameOverEmptiedDirectory(t *testing.T) {
	host, referring := rootIsMe(), referringLayer()
	for name, as := range map[string]*Layer{"caller": nil, "host": &host, "referring": &referring} {
		t.Run(name, func(t *testing.T) {
			f := newUnion(t, tree{"d/x": file("x"), "e/y": file("y"), "e/z/a": file("a")}, tree{"e/w": file("w")})
			if as != nil {
				f.close()
				f.describe(*as)
				f.open()
			}
			must(t, f.rename("e", "f", 0))
			for _, path := range []string{"f/y", "f/w", "f/z/a"} {
				must(t, f.unlink(path))
			}
			must(t, f.rmdir("f/z"))
			must(t, f.at("f", func(n *Node) error {
				n.entries.Lock()
				defer n.entries.Unlock()
				return f.u.sweep(n)
			}))
			f.remounted(func() { f.wantNames("f"); f.wantNames("d", "x"); f.wantNames("/", "d", "f") })
			must(t, f.rename("d", "f", 0))
			f.remounted(func() { f.wantNames("f", "x"); f.wantNames("/", "f") })
			must(t, f.rename("f", "e", 0))
			f.remounted(func() { f.wantNames("e", "x"); f.wantNames("/", "e") })
		})
	}
}
