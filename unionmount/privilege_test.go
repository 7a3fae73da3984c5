package unionmount

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

func TestPrivilegesThatAreDropped(t *testing.T) {
	member, stranger, root, host := Caller{UID: 1, GID: 5}, Caller{UID: 1, GID: 6}, Caller{}, Caller{Privileged: true}
	for _, c := range []struct {
		mode        uint32
		by          Caller
		owner, data uint32 // what is left when the owner, or the data, is changed
	}{
		{unix.S_IFREG | 0o6755, member, 0o755, 0o755},
		{unix.S_IFREG | 0o6755, root, 0o755, 0o755},
		{unix.S_IFREG | 0o6755, host, 0o755, 0o6755},
		{unix.S_IFREG | 0o6745, member, 0o2745, 0o2745},
		{unix.S_IFREG | 0o6745, stranger, 0o745, 0o745},
		{unix.S_IFREG | 0o6745, root, 0o2745, 0o2745},
		{unix.S_IFDIR | 0o6755, stranger, 0o6755, 0o6755},
	} {
		id := layerfmt.Stat{UID: 4, GID: 5, Mode: c.mode}
		if got := c.by.strip(id) & 0o7777; got != c.owner {
			t.Errorf("%o, owner changed by %+v: %o, want %o", c.mode, c.by, got, c.owner)
		}
		if got := c.by.stripData(id) & 0o7777; got != c.data {
			t.Errorf("%o, data changed by %+v: %o, want %o", c.mode, c.by, got, c.data)
		}
	}
}

// TestForbiddenDirectories removes directories that their permissions let no user read, by a server without
// privileges.
func TestForbiddenDirectories(t *testing.T) {
	for _, mode := range []uint32{0, 0o300, 0o500, 0o077} {
		f := newHostUnion(t, hostOwnedLayer(), tree{"merged/x": file("x"), "full/x": file("x")})
		must(t, f.in("new", func(dir *Node, name string) error { return f.made(f.u.Mkdir(dir, name, 0o700, f.me())) }))
		must(t, f.in("over", func(dir *Node, name string) error { return f.made(f.u.Mkdir(dir, name, 0o700, f.me())) }))
		must(t, f.unlink("merged/x"))
		for _, name := range []string{"new", "merged", "full", "over"} {
			must(t, f.chmod(name, mode))
		}
		f.reopen()
		must(t, f.rmdir("new"))
		must(t, f.rmdir("merged"))
		wantErrno(t, "rmdir", f.rmdir("full"), unix.ENOTEMPTY)
		must(t, f.in("new", func(dir *Node, name string) error { return f.made(f.u.Mkdir(dir, name, 0o700, f.me())) }))
		must(t, f.rename("new", "over", 0))
		if a := f.stat("full"); a.Mode != unix.S_IFDIR|mode {
			t.Errorf("what was not removed has mode %o, want %o", a.Mode, mode)
		}
		must(t, f.chmod("full", 0o700))
		f.wantNames("/", "full", "over")
	}
}

// TestCopiesKeepPrivileges copies files whose bits the kernel drops when an unprivileged server writes them.
func TestCopiesKeepPrivileges(t *testing.T) {
	f := newHostUnion(t, hostOwnedLayer(), tree{"f": file("data").mode(0o6755), "sub/f": file("data").mode(0o6755)})
	must(t, f.setattr("f", SetAttr{Mtime: &unix.Timespec{Sec: 1}}))
	must(t, f.rename("sub", "moved", 0))
	for _, path := range []string{"f", "moved/f"} {
		var st unix.Stat_t
		must(t, unix.Stat(f.opts.Upper+"/"+path, &st))
		if a := f.stat(path); a.Mode != unix.S_IFREG|0o6755 || st.Mode != a.Mode {
			t.Errorf("%s has mode %o, and %o on disk", path, a.Mode, st.Mode)
		}
	}
}

// TestClosedFiles has a server without privileges look up what its own permissions keep it from reading.
func TestClosedFiles(t *testing.T) {
	f := newHostUnion(t, hostOwnedLayer(), tree{"low": file("low"), "name1": file("group"),
		"name2": hardlink("name1"), "dir/x": file("x")})
	ino := f.stat("low").Ino
	must(t, f.unlink("dir/x"))
	must(t, f.rmdir("dir"))
	must(t, f.in("dir", func(dir *Node, name string) error { return f.made(f.u.Mkdir(dir, name, 0o700, f.me())) }))
	for _, name := range []string{"low", "name1", "dir"} {
		must(t, f.chmod(name, 0))
	}
	f.reopen()
	f.wantNames("/", "dir", "low", "name1", "name2")
	if a := f.stat("low"); a.Ino != ino || a.Mode != unix.S_IFREG {
		t.Errorf("a closed file has inode number %d and mode %#o, want %d and no permissions", a.Ino, a.Mode, ino)
	}
	if a := f.stat("name2"); a.Nlink != 2 || a.Mode != unix.S_IFREG {
		t.Errorf("the other name of a closed file shows %+v", a)
	}
	must(t, f.chmod("dir", 0o700))
	f.wantNames("dir")
}

// TestInodeNumbersOfReplacedLinks has links on disk replaced by files, and other files made that may get their inodes.
func TestInodeNumbersOfReplacedLinks(t *testing.T) {
	f := newUnion(t, tree{})
	inos := map[uint64]string{}
	for i := range 20 {
		name := fmt.Sprint(i)
		must(t, f.symlink("target", name))
		must(t, f.chown(name, 7, 8))
		must(t, f.create("new"+name, 0o644))
		for _, name := range []string{name, "new" + name} {
			ino := f.stat(name).Ino
			if other, ok := inos[ino]; ok {
				t.Errorf("%s and %s have the same inode number", name, other)
			}
			inos[ino] = name
		}
	}
	for i := range 20 {
		must(t, f.unlink(fmt.Sprint(i)))
	}
	if left, err := os.ReadDir(f.opts.Work + "/index"); err != nil || len(left) > 0 {
		t.Errorf("left in the index: %v, %v", left, err)
	}
}

// TestSymlinksKeepTheirOwnerTogether changes the owner of a link that has two names.
func TestSymlinksKeepTheirOwnerTogether(t *testing.T) {
	f := newUnion(t, tree{"low": symlink("target")})
	must(t, f.symlink("target", "new"))
	for _, name := range []string{"low", "new"} {
		must(t, f.link(name, name+"2"))
		must(t, f.chown(name, 7, 8))
		f.reopen()
		for _, name := range []string{name, name + "2"} {
			if a := f.stat(name); a.UID != 7 || a.GID != 8 || a.Nlink != 2 || a.Mode&unix.S_IFMT != unix.S_IFLNK ||
				a.Size != 6 {
				t.Errorf("%s: %+v", name, a)
			}
		}
	}
}

// TestChangeOfRemovedDirectory changes a directory that is open and has no name any more.
func TestChangeOfRemovedDirectory(t *testing.T) {
	f := newUnion(t, tree{"lower": directory()})
	n, err := f.walk("lower")
	must(t, err)
	must(t, f.rmdir("lower"))
	mode, mtime := uint32(0o2710), unix.Timespec{Sec: 5}
	a, err := f.u.Setattr(n, SetAttr{Mode: &mode, Mtime: &mtime})
	if err != nil || a.Mode != unix.S_IFDIR|mode || a.Mtime != mtime || a.Nlink != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	_, _, err = f.u.Create(n, "x", 0o644, Owner{})
	wantErrno(t, "create in a removed directory", err, unix.ENOENT)
	f.u.Forget(n, 1)
}

// TestOthersDisarmNothing lets the owner, root and another user change the owner to the present one.
func TestOthersDisarmNothing(t *testing.T) {
	f := newUnion(t, tree{"x": file("x")})
	must(t, f.chown("x", 4, 5))
	for uid, want := range map[uint32]uint32{0: 0o755, 4: 0o755, 7: 0o6755} {
		must(t, f.chmod("x", 0o6755))
		must(t, f.at("x", func(n *Node) error {
			_, err := f.u.Setattr(n, SetAttr{KillPriv: true, OwnerOnly: true, By: Caller{UID: uid, GID: 5}})
			return err
		}))
		if a := f.stat("x"); a.Mode&0o7777 != want {
			t.Errorf("changed by %d, the mode is %o, want %o", uid, a.Mode&0o7777, want)
		}
	}
}
