package unionmount

import (
	"os"
	"testing"

	"github.com/rcrun/rcrun/internal/beneath"
	"golang.org/x/sys/unix"
)

func TestLowerHardLinksStayTogether(t *testing.T) {
	f := newUnion(t, tree{"h1": file("hl"), "d/h2": hardlink("h1"), "h3": hardlink("h1"), "h4": hardlink("h1")})
	ino := f.stat("h1").Ino
	check := func(content string, nlink uint32, names ...string) {
		t.Helper()
		for range 2 {
			for _, name := range names {
				f.want(name, content)
				if a := f.stat(name); a.Nlink != nlink || a.Ino != ino {
					t.Errorf("%s: nlink %d, ino %d; want %d, %d", name, a.Nlink, a.Ino, nlink, ino)
				}
			}
			f.reopen()
		}
	}
	check("hl", 4, "h1", "d/h2", "h3", "h4")
	must(t, f.write("h1", "+", 2))
	check("hl+", 4, "h1", "d/h2", "h3", "h4")
	must(t, f.write("d/h2", "-", 3))
	check("hl+-", 4, "h1", "d/h2", "h3", "h4")
	must(t, f.unlink("h3"))
	check("hl+-", 3, "h1", "d/h2", "h4")
	must(t, f.rename("d/h2", "moved", 0))
	check("hl+-", 3, "h1", "moved", "h4")
	must(t, f.link("h4", "h5"))
	check("hl+-", 4, "h1", "moved", "h4", "h5")
	must(t, f.unlink("h1"))
	must(t, f.unlink("h4"))
	must(t, f.unlink("h5"))
	check("hl+-", 1, "moved")
	must(t, f.unlink("moved"))
	f.wantNames("/", "d")
	f.wantNames("d")
	if left, err := os.ReadDir(f.opts.Work + "/index"); err != nil || len(left) > 0 {
		t.Errorf("left in the index: %v, %v", left, err)
	}
}

func TestLinkOfLowerFile(t *testing.T) {
	f := newUnion(t, tree{"a": file("a"), "d": directory(), "l": symlink("a"), "gone": file("")})
	must(t, f.link("a", "d/b"))
	must(t, f.link("l", "l2"))
	must(t, f.unlink("gone"))
	must(t, f.link("a", "gone"))
	must(t, f.write("a", "+", 1))
	f.reopen()
	for _, name := range []string{"a", "d/b", "gone"} {
		f.want(name, "a+")
		if n := f.stat(name).Nlink; n != 3 {
			t.Errorf("nlink of %s is %d", name, n)
		}
	}
	f.want("l2", "a")
	wantErrno(t, "link of a directory", f.link("d", "d2"), unix.EPERM)
	wantErrno(t, "link to an existing name", f.link("a", "d"), unix.EEXIST)
}

func TestDeletedLinkNamesAreRemembered(t *testing.T) {
	f := newUnion(t, tree{"h1": file("hl"), "h2": hardlink("h1"), "h3": hardlink("h1")})
	before := f.stat("h1").Ctime
	for now := before; now.Nano() <= before.Nano(); { // the clock of files goes in steps
		path := t.TempDir()
		st, err := beneath.Stat(unix.AT_FDCWD, path)
		must(t, err)
		now = st.Ctim
	}
	must(t, f.unlink("h2"))
	after := f.stat("h1").Ctime
	if after.Nano() <= before.Nano() {
		t.Errorf("the ctime was %v and is %v", before, after)
	}
	for range 2 {
		if a := f.stat("h1"); a.Nlink != 2 || a.Ctime != after {
			t.Errorf("nlink is %d, the ctime %v; want %v", a.Nlink, a.Ctime, after)
		}
		f.reopen()
	}
	must(t, f.write("h3", "+", 2))
	f.reopen()
	f.want("h1", "hl+")
	if n := f.stat("h1").Nlink; n != 2 {
		t.Errorf("nlink is %d after copy-up", n)
	}
}

func TestCopiesOfSymlinks(t *testing.T) {
	f := newUnion(t, tree{"a": symlink("target"), "b": hardlink("a"), "c": hardlink("a"), "single": symlink("other")})
	ino, single := f.stat("a").Ino, f.stat("single").Ino
	must(t, f.rename("a", "d", 0))
	must(t, f.setattr("c", SetAttr{Mtime: &unix.Timespec{Sec: 5}}))
	must(t, f.rename("single", "moved", 0))
	f.remounted(func() {
		for _, path := range []string{"b", "c", "d"} {
			f.want(path, "target")
			if a := f.stat(path); a.Ino != ino || a.Nlink != 3 || a.Mode != unix.S_IFLNK|0o777 || a.Size != 6 ||
				a.Mtime.Sec != 5 {
				t.Errorf("%s: %+v", path, a)
			}
		}
		if a := f.stat("moved"); a.Ino != single || a.Nlink != 1 {
			t.Errorf("%+v", a)
		}
	})
	must(t, f.chown("b", 3, 4))
	must(t, f.chown("b", 0, 0))
	must(t, f.chown("d", 3, 4))
	f.remounted(func() {
		for _, path := range []string{"b", "c", "d"} {
			f.want(path, "target")
			if a := f.stat(path); a.UID != 3 || a.Ino != ino {
				t.Errorf("%s: %+v", path, a)
			}
		}
	})
}

// TestNamesOfCopiesAreOnDisk has readers that know no index find the copy of a file by each name that was looked up.
func TestNamesOfCopiesAreOnDisk(t *testing.T) {
	f := newHostUnion(t, rootIsMe(), tree{"d/a": file("x"), "d/b": hardlink("d/a"), "e/c": hardlink("d/a"),
		"e/f": hardlink("d/a"), "e/g": hardlink("d/a")})
	known, err := f.walk("d/a")
	must(t, err)
	_, err = f.walk("d/b")
	must(t, err)
	must(t, f.chmod("e/c", 0o600))
	must(t, f.write("e/f", "F", 0))
	var st unix.Stat_t
	for _, path := range []string{"d/a", "d/b", "e/c", "e/f"} {
		// One of the links is in the index.
		if err := unix.Lstat(f.opts.Upper+"/"+path, &st); err != nil || st.Mode != unix.S_IFREG|0o600 || st.Nlink != 5 {
			t.Errorf("%s: mode %o, %d links, %v", path, st.Mode, st.Nlink, err)
		}
	}
	f.u.Forget(known, 2)
	for range 2 {
		for _, path := range []string{"d/a", "d/b", "e/c", "e/f", "e/g"} {
			f.want(path, "F")
			if a := f.stat(path); a.Nlink != 5 {
				t.Errorf("%s: %d links", path, a.Nlink)
			}
		}
		f.reopen()
	}
}

// TestNamesOfSpecialFilesAreKept has what carries no xattrs on disk, and so is in no index, keep its names.
func TestNamesOfSpecialFilesAreKept(t *testing.T) {
	fifo := entry{typ: unix.S_IFIFO}
	f := newHostUnion(t, rootIsMe(), tree{"a": fifo, "d/b": hardlink("a"), "c": hardlink("a"), "l": symlink("to"),
		"d/m": hardlink("l"), "gone": fifo, "left": hardlink("gone")})
	check := func(nlink uint32, names ...string) {
		t.Helper()
		ino := f.stat(names[0]).Ino
		for _, name := range names {
			if a := f.stat(name); a.Nlink != nlink || a.Ino != ino {
				t.Errorf("%s: nlink %d, ino %d; want %d, %d", name, a.Nlink, a.Ino, nlink, ino)
			}
		}
	}
	hold := func(names ...string) (forget func()) {
		var nodes []*Node
		for _, name := range names {
			n, err := f.walk(name)
			must(t, err)
			nodes = append(nodes, n)
		}
		return func() {
			for _, n := range nodes {
				f.u.Forget(n, 1)
			}
		}
	}
	forget := hold("a", "d/b", "l", "d/m", "gone", "left")
	must(t, f.rename("a", "z", 0))
	check(3, "z", "d/b", "c")
	must(t, f.chmod("c", 0o600))
	check(3, "c", "z", "d/b")
	must(t, f.chown("l", 0, 0))
	check(2, "l", "d/m")
	must(t, f.unlink("gone"))
	must(t, f.chmod("left", 0o600))
	check(1, "left")
	forget()
	f.reopen()
	check(3, "z", "d/b", "c")
	check(2, "l", "d/m")
	check(1, "left")
	must(t, f.unlink("z"))
	check(2, "d/b", "c")
}
