package unionmount

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
)

func TestDeleteAndMakeAnew(t *testing.T) {
	f := newUnion(t, tree{"file": file("lower"), "d/old": file("old"), "d/sub/x": file("x"), "e": directory()})
	must(t, f.unlink("file"))
	f.want("file", gone)
	wantErrno(t, "unlink again", f.unlink("file"), unix.ENOENT)
	must(t, f.create("file", 0o600))
	f.want("file", "")
	wantErrno(t, "create again", f.create("file", 0o600), unix.EEXIST)

	wantErrno(t, "rmdir of a full directory", f.rmdir("d"), unix.ENOTEMPTY)
	wantErrno(t, "unlink of a directory", f.unlink("d"), unix.EISDIR)
	wantErrno(t, "rmdir of a file", f.rmdir("file"), unix.ENOTDIR)
	must(t, f.unlink("d/old"))
	must(t, f.unlink("d/sub/x"))
	must(t, f.rmdir("d/sub"))
	must(t, f.rmdir("d"))
	must(t, f.mkdir("d", 0o755))
	must(t, f.create("d/new", 0o644))
	must(t, f.rmdir("e"))
	must(t, f.symlink("d", "e"))
	for range 2 {
		f.wantNames("/", "d", "e", "file")
		f.wantNames("d", "new")
		f.want("d/old", gone)
		f.want("e", "d")
		f.reopen()
	}
	must(t, f.unlink("file"))
	must(t, f.unlink("e"))
	must(t, f.unlink("d/new"))
	must(t, f.rmdir("d"))
	f.reopen()
	f.wantNames("/")
}

func TestDeleteLeavesNoWhiteoutWithoutNeed(t *testing.T) {
	f := newUnion(t, tree{"d/lower": file("")})
	must(t, f.create("d/own", 0o644))
	must(t, f.unlink("d/own"))
	must(t, f.mkdir("d/owndir", 0o755))
	must(t, f.rmdir("d/owndir"))
	left, err := os.ReadDir(f.opts.Upper + "/d")
	if err != nil || len(left) != 0 {
		t.Errorf("the upper has %v, %v", left, err)
	}
}

func TestWhiteoutFilesWhereDevicesAreForbidden(t *testing.T) {
	f := newUnion(t, tree{"file": file("lower"), "d/x": file("x"), "keep": file("k")})
	f.close()
	f.opts.WhiteoutFiles = true
	f.open()
	must(t, f.unlink("file"))
	must(t, f.unlink("d/x"))
	must(t, f.rmdir("d"))
	must(t, f.rename("keep", "kept", 0))
	for _, name := range []string{".wh.file", ".wh.d", ".wh.keep"} {
		if _, err := os.Lstat(f.opts.Upper + "/" + name); err != nil {
			t.Error(err)
		}
	}
	f.wantNames("/", "kept")
	must(t, f.mkdir("d", 0o755))
	must(t, f.create("file", 0o644))
	must(t, f.create("y", 0o644))
	must(t, f.rename("y", "keep", 0))
	f.reopen()
	f.wantNames("/", "d", "file", "keep", "kept")
	f.wantNames("d")
	f.want("kept", "k")
	f.want("file", "")
	left, _ := os.ReadDir(f.opts.Upper)
	for _, e := range left {
		if layerfmt.ReservedName(e.Name()) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// renameCase is a rename, and what is there afterwards.
type renameCase struct {
	from, to string
	flags    uint
	errno    unix.Errno
	gone     string
	at, has  string
}

func TestRenameTable(t *testing.T) {
	const noreplace, exchange = unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE
	for _, c := range []renameCase{
		{"file", "new", 0, 0, "file", "new", "f"},
		{"file", "other", 0, 0, "file", "other", "f"},
		{"file", "full/x", 0, 0, "file", "full/x", "f"},
		{"file", "full/y", noreplace, 0, "file", "full/y", "f"},
		{"link", "new", 0, 0, "link", "new", "file"},
		{"file", "file", 0, 0, "none", "file", "f"},
		{"file", "other", noreplace, unix.EEXIST, "none", "other", "o"},
		{"file", "empty", 0, unix.EISDIR, "none", "file", "f"},
		{"empty", "file", 0, unix.ENOTDIR, "none", "file", "f"},
		{"none", "file", 0, unix.ENOENT, "none", "file", "f"},
		{"file", "none", exchange, unix.ENOENT, "none", "file", "f"},
		{"file", "other", exchange, 0, "none", "file", "o"},
		{"file", "full/x", exchange, 0, "none", "full/x", "f"},
		{"full", "full/x/y", 0, unix.ENOTDIR, "none", "full/x", "x"},
		{"full", "full/y", 0, unix.EINVAL, "none", "full/x", "x"},
		{"full", "new", 0, 0, "full", "new/x", "x"},
		{"full", "new", noreplace, 0, "full", "new/x", "x"},
		{"full", "empty", 0, 0, "full", "empty/x", "x"},
		{"full", "hollow", 0, 0, "full", "hollow/x", "x"},
		{"full", "was", 0, 0, "full", "was/x", "x"},
		{"full", "empty/full", 0, 0, "full", "empty/full/x", "x"},
		{"full", "file", exchange, 0, "none", "file/x", "x"},
		{"full", "hollow", exchange, 0, "full/x", "hollow/x", "x"},
		{"empty", "full", 0, unix.ENOTEMPTY, "none", "full/x", "x"},
		{"file", "other", noreplace | exchange, unix.EINVAL, "none", "file", "f"},
		{"file", "other", unix.RENAME_WHITEOUT | exchange, unix.EINVAL, "none", "file", "f"},
		{"upper", "new", 0, 0, "upper", "new/u", "u"},
		{"upper", "empty", 0, 0, "upper", "empty/u", "u"},
		{"upper", "full", 0, unix.ENOTEMPTY, "none", "full/x", "x"},
		{"upper", "was", 0, 0, "upper", "was/u", "u"},
		{"upper", "hollow", 0, 0, "upper", "hollow/u", "u"},
		{"upper", "file", exchange, 0, "none", "file/u", "u"},
		{"over", "new", 0, 0, "over", "new/o", "o"},
		{"over", "hollow", 0, 0, "over", "hollow/o", "o"},
	} {
		t.Run(strings.ReplaceAll(c.from+" to "+c.to, "/", "-"), func(t *testing.T) { testRename(t, c) })
	}
}

// testRename renames in a union with entries of a lower, of the upper, and of the upper over removed ones of the lower.
func testRename(t *testing.T, c renameCase) {
	f := newUnion(t, tree{"file": file("f"), "other": file("o"), "full/x": file("x"), "empty": directory(),
		"link": symlink("file"), "was/lower": file("w"), "hollow/lower": file("h"), "over/lower": file("v")})
	must(t, f.mkdir("upper", 0o755))
	must(t, f.create("upper/u", 0o644))
	must(t, f.write("upper/u", "u", 0))
	must(t, f.unlink("was/lower"))
	must(t, f.rmdir("was"))
	must(t, f.unlink("hollow/lower"))
	must(t, f.unlink("over/lower"))
	must(t, f.rmdir("over"))
	must(t, f.mkdir("over", 0o755))
	must(t, f.create("over/o", 0o644))
	must(t, f.write("over/o", "o", 0))
	wantErrno(t, "rename", f.rename(c.from, c.to, c.flags), c.errno)
	for range 2 {
		f.want(c.gone, gone)
		f.want(c.at, c.has)
		f.want(c.to+"/lower", "!"+errnoOf(f.at(c.to+"/lower", func(*Node) error { return nil })).Error())
		if names := f.ls("/"); slices.Contains(names, c.gone) {
			t.Errorf("%s is listed: %q", c.gone, names)
		}
		for _, path := range []string{"was/lower", "hollow/lower", "over/lower"} {
			f.want(path, gone)
		}
		f.reopen()
	}
}

func TestUnlinkedFilesGoOn(t *testing.T) {
	f := newUnion(t, tree{"lower": file("lower"), "victim": file("victim"), "hard": hardlink("lower")})
	must(t, f.create("upper", 0o644))
	must(t, f.write("upper", "upper", 0))
	for _, path := range []string{"lower", "upper", "victim"} {
		n, err := f.walk(path)
		must(t, err)
		if path == "victim" {
			must(t, f.create("x", 0o644))
			must(t, f.rename("x", path, 0))
		} else {
			must(t, f.unlink(path))
		}
		if got, err := f.contentOf(n); err != nil || got != path {
			t.Errorf("%s: read %q, %v", path, got, err)
		}
		_, err = f.u.Write(n, []byte("+"), int64(len(path)), asRoot)
		must(t, err)
		if got, err := f.contentOf(n); err != nil || got != path+"+" {
			t.Errorf("%s: read %q, %v after writing", path, got, err)
		}
		a, err := f.u.Getattr(n)
		if want := uint32(0); err != nil || path != "lower" && a.Nlink != want {
			t.Errorf("%s: nlink %d, %v", path, a.Nlink, err)
		}
		f.u.Forget(n, 1)
	}
	f.want("hard", "lower+")
	f.want("lower", gone)
	f.want("victim", "")
}

func TestRemovedDirectory(t *testing.T) {
	f := newUnion(t, tree{"lower": directory()})
	must(t, f.mkdir("upper", 0o755))
	for _, path := range []string{"lower", "upper"} {
		n, err := f.walk(path)
		must(t, err)
		must(t, f.rmdir(path))
		a, err := f.u.Getattr(n)
		if err != nil || a.Nlink != 0 {
			t.Errorf("nlink %d, %v", a.Nlink, err)
		}
		_, _, err = f.u.Create(n, "x", 0o644, Owner{})
		wantErrno(t, "create in a removed directory", err, unix.ENOENT)
		_, _, err = f.u.Lookup(n, "x")
		wantErrno(t, "lookup in a removed directory", err, unix.ENOENT)
		must(t, f.u.Readdir(n, 0, func(e *Dirent) bool { t.Errorf("lists %s", e.Name); return true }))
		f.u.Forget(n, 1)
	}
}

func TestReaddirWhileChanging(t *testing.T) {
	lower := tree{}
	for i := range 200 {
		lower["d/"+string(rune('a'+i%26))+strings.Repeat("x", i)] = file("")
	}
	f := newUnion(t, lower)
	all := f.ls("d")
	n, err := f.walk("d")
	must(t, err)
	defer f.u.Forget(n, 1)
	seen := map[string]int{}
	cookie := uint64(0)
	for step := 0; ; step++ {
		var got []string
		must(t, f.u.Readdir(n, cookie, func(e *Dirent) bool {
			if len(got) == 7 {
				return false
			}
			got = append(got, e.Name)
			cookie = e.Cookie
			if e.Node != nil {
				f.u.Forget(e.Node, 1)
			}
			return true
		}))
		if len(got) == 0 {
			break
		}
		for _, name := range got {
			seen[name]++
			if name != "." && name != ".." && step%2 == 0 {
				must(t, f.unlink("d/"+name)) // as rm -r does
			}
		}
		if step < 50 {
			must(t, f.create(fmt.Sprintf("d/new%d", step), 0o644))
		}
	}
	for _, name := range append(all, ".", "..") {
		if seen[name] != 1 {
			t.Errorf("%s was seen %d times", name, seen[name])
		}
	}
}

func TestInodeNumbers(t *testing.T) {
	f := newUnion(t, tree{"a": file("a"), "d/b": file("b")}, tree{"d/c": file("c")})
	must(t, f.create("new", 0o644))
	inos := map[string]uint64{}
	for _, path := range []string{"/", "a", "d", "d/b", "d/c", "new"} {
		inos[path] = f.stat(path).Ino
		for other, ino := range inos {
			if other != path && ino == inos[path] {
				t.Errorf("%s and %s have the same inode number", path, other)
			}
		}
	}
	must(t, f.chmod("a", 0o600))
	must(t, f.chmod("d/b", 0o600))
	must(t, f.write("d/c", "x", 0))
	must(t, f.rename("a", "d/a", 0))
	inos["d/a"] = inos["a"]
	delete(inos, "a")
	for range 2 {
		for path, ino := range inos {
			if got := f.stat(path).Ino; got != ino {
				t.Errorf("%s: inode number %d, was %d", path, got, ino)
			}
		}
		must(t, f.at("d", func(n *Node) error {
			return f.u.Readdir(n, 0, func(e *Dirent) bool {
				if e.Node != nil {
					if e.Attr.Ino != inos["d/"+e.Name] {
						t.Errorf("%s is listed with inode number %d", e.Name, e.Attr.Ino)
					}
					f.u.Forget(e.Node, 1)
				}
				return true
			})
		}))
		f.reopen()
	}
}

func TestSetuidIsDropped(t *testing.T) {
	f := newUnion(t, tree{"a": file("a").owned("0:0:6755:file").attr("user.rcrun.x.security.capability", "caps"),
		"b": file("b").owned("0:0:6755:file"), "c": file("c").owned("0:0:6744:file"),
		"d": directory().owned("0:0:6755:dir")})
	must(t, f.write("a", "x", 0)) // a caller with CAP_FSETID
	if m := f.stat("a").Mode & 0o7777; m != 0o6755 {
		t.Errorf("mode %o after a privileged write", m)
	}
	err := f.at("a", func(n *Node) error { _, err := f.u.GetXattr(n, encoding.CapsXattr); return err })
	wantErrno(t, "capabilities after a write", err, unix.ENODATA)
	must(t, f.at("a", func(n *Node) error { _, err := f.u.Write(n, []byte("x"), 0, Caller{}); return err }))
	must(t, f.chown("b", 5, 5))
	must(t, f.chown("c", 5, 5))
	must(t, f.chown("d", 5, 5))
	for path, want := range map[string]uint32{"a": 0o755, "b": 0o755, "c": 0o2744, "d": 0o6755} {
		if m := f.stat(path).Mode & 0o7777; m != want {
			t.Errorf("%s: mode %o, want %o", path, m, want)
		}
	}
}

func TestSetgidDirectory(t *testing.T) {
	f := newUnion(t, tree{"d": directory().owned("1:50:2775:dir")})
	must(t, f.create("d/file", 0o644))
	must(t, f.mkdir("d/sub", 0o755))
	if a := f.stat("d/file"); a.GID != 50 || a.Mode&0o7777 != 0o644 {
		t.Errorf("file: %+v", a)
	}
	if a := f.stat("d/sub"); a.GID != 50 || a.Mode&0o7777 != 0o2755 {
		t.Errorf("directory: %+v", a)
	}
}

func TestOwnersAreMetadata(t *testing.T) {
	f := newUnion(t, tree{"link": symlink("target"), "file": file("x")})
	must(t, f.chown("link", 7, 8))
	must(t, f.chown("file", 70000, 80000))
	must(t, f.in("made", func(dir *Node, name string) error {
		return f.made(f.u.Symlink(dir, name, "to", Owner{1, 2}))
	}))
	must(t, f.in("null", func(dir *Node, name string) error {
		return f.made(f.u.Mknod(dir, name, unix.S_IFCHR|0o666, unix.Mkdev(1, 3), Owner{}))
	}))
	must(t, f.in("notwh", func(dir *Node, name string) error {
		return f.made(f.u.Mknod(dir, name, unix.S_IFCHR|0o666, 0, Owner{}))
	}))
	for range 2 {
		f.want("link", "target")
		f.want("made", "to")
		for path, want := range map[string]Attr{
			"link":  {Mode: unix.S_IFLNK | 0o777, UID: 7, GID: 8},
			"made":  {Mode: unix.S_IFLNK | 0o777, UID: 1, GID: 2},
			"file":  {Mode: unix.S_IFREG | 0o644, UID: 70000, GID: 80000},
			"null":  {Mode: unix.S_IFCHR | 0o666, Rdev: unix.Mkdev(1, 3)},
			"notwh": {Mode: unix.S_IFCHR | 0o666},
		} {
			a := f.stat(path)
			if got := (Attr{Mode: a.Mode, UID: a.UID, GID: a.GID, Rdev: a.Rdev}); got != want {
				t.Errorf("%s: %+v, want %+v", path, got, want)
			}
		}
		f.reopen()
	}
	must(t, f.chown("link", 0, 0))
	f.want("link", "target")
}

// TestWhiteoutsAreLinks deletes more lower files than the whiteout device has links left for.
func TestWhiteoutsAreLinks(t *testing.T) {
	f := newUnion(t, tree{"a": file(""), "b": file(""), "c": file("")})
	if !f.u.work.Devices {
		t.Skip("whiteouts are no devices here")
	}
	for _, name := range []string{"a", "b"} {
		must(t, f.u.Unlink(f.u.Root(), name))
	}
	must(t, f.u.work.MakeDevice())
	must(t, f.u.Unlink(f.u.Root(), "c"))
	var links []uint64
	for _, name := range []string{"a", "b", "c"} {
		st, err := beneath.Stat(f.u.upper.Root, name)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
			t.Errorf("%s is %#o, %v", name, st.Mode, err)
		}
		links = append(links, uint64(st.Nlink))
	}
	if !slices.Equal(links, []uint64{2, 2, 2}) {
		t.Errorf("%d links", links)
	}
	if names := f.ls(""); len(names) != 0 {
		t.Errorf("left: %q", names)
	}
}

func TestModesAfterOwners(t *testing.T) {
	f := newUnion(t, tree{"lower": file("x").owned("5:5:0600:file")})
	must(t, f.create("upper", 0o644))
	for _, path := range []string{"lower", "upper"} {
		must(t, f.chown(path, 1, 1))
		must(t, f.chown(path, 0, 0))
		must(t, f.chmod(path, 0o751))
		f.remounted(func() {
			if a := f.stat(path); a.Mode != unix.S_IFREG|0o751 || a.UID != 0 {
				t.Errorf("%s: %+v", path, a)
			}
		})
	}
}
