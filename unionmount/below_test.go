package unionmount

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// bigData is what no inode holds within itself.
var bigData = strings.Repeat("0123456789abcdef", 4096)

// wantBorrowed checks whether the upper has a file at path without data of its own, and what data shows.
func (f *fixture) wantBorrowed(path string, borrowed bool, content string) {
	f.t.Helper()
	var st unix.Stat_t
	must(f.t, unix.Stat(f.opts.Upper+"/"+path, &st))
	_, err := f.u.upper.Xattrs.Read(beneath.File{FD: unix.AT_FDCWD, Name: f.opts.Upper + "/" + path},
		layerfmt.DataXattr)
	if marked := err == nil; marked != borrowed || borrowed && st.Size != int64(len(content)) {
		f.t.Errorf("%s: marked %v, %d bytes on disk; want %v", path, marked, st.Size, borrowed)
	}
	f.want(path, content)
	if a := f.stat(path); a.Size != int64(len(content)) || a.Blocks == 0 {
		f.t.Errorf("%s: %+v", path, a)
	}
}

func TestChangesOfMetadataCopyNoData(t *testing.T) {
	changes := map[string]func(f *fixture) error{
		"chmod":    func(f *fixture) error { return f.chmod("d/f", 0o4711) },
		"chown":    func(f *fixture) error { return f.chown("d/f", 3, 4) },
		"utimes":   func(f *fixture) error { return f.setattr("d/f", SetAttr{Mtime: &unix.Timespec{Sec: 7}}) },
		"setxattr": func(f *fixture) error { return f.setXattr("d/f", "user.t", "v") },
		"link":     func(f *fixture) error { must(f.t, f.link("d/f", "d/g")); return f.unlink("d/g") },
		"rename":   func(f *fixture) error { must(f.t, f.rename("d/f", "g", 0)); return f.rename("g", "d/f", 0) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			f := newUnion(t, tree{"d": directory()}, tree{"d/f": file(bigData)})
			before := f.stat("d/f")
			must(t, change(f))
			f.wantBorrowed("d/f", true, bigData)
			changed := f.stat("d/f")
			f.reopen()
			f.wantBorrowed("d/f", true, bigData)
			if a := f.stat("d/f"); a != changed || a.Ino != before.Ino || a.Nlink != 1 {
				t.Errorf("after remount %+v, before %+v, at first %+v", a, changed, before)
			}
			must(t, f.write("d/f", "new", 10))
			f.wantBorrowed("d/f", false, bigData[:10]+"new"+bigData[13:])
			f.reopen()
			f.wantBorrowed("d/f", false, bigData[:10]+"new"+bigData[13:])
		})
	}
}

func (f *fixture) setXattr(path, name, value string) error {
	return f.at(path, func(n *Node) error { return f.u.SetXattr(n, name, []byte(value), 0) })
}

func TestBorrowedDataBecomesOwn(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *fixture) error
		want   string
	}{
		"write":    {func(f *fixture) error { return f.write("f", "x", 0) }, "x" + bigData[1:]},
		"shorten":  {func(f *fixture) error { return f.truncate("f", 5000) }, bigData[:5000]},
		"lengthen": {func(f *fixture) error { return f.truncate("f", int64(len(bigData))+2) }, bigData + "\x00\x00"},
		"empty": {func(f *fixture) error {
			must(f.t, f.truncate("f", 0))
			return f.write("f", "x", 0)
		}, "x"},
		"allocate": {func(f *fixture) error {
			return f.at("f", func(n *Node) error { return f.u.Fallocate(n, 0, 0, int64(len(bigData)), asRoot) })
		}, bigData},
		"copy to itself": {func(f *fixture) error {
			return f.at("f", func(n *Node) error {
				_, err := f.u.CopyFileRange(n, 0, n, 8192, 3, asRoot)
				return err
			})
		}, bigData},
	} {
		t.Run(name, func(t *testing.T) {
			f := newUnion(t, tree{"f": file(bigData)})
			must(t, f.chmod("f", 0o600))
			must(t, c.change(f))
			f.wantBorrowed("f", false, c.want)
			f.reopen()
			f.wantBorrowed("f", false, c.want)
		})
	}
}

func TestBorrowedDataOfHardLinks(t *testing.T) {
	f := newUnion(t, tree{"a": file(bigData), "d/b": hardlink("a"), "c": hardlink("a")})
	must(t, f.chmod("d/b", 0o640))
	must(t, f.unlink("c"))
	f.reopen()
	f.want("a", bigData)
	must(t, f.link("a", "e"))
	must(t, f.write("a", "new", 0))
	for range 2 {
		for _, path := range []string{"a", "d/b", "e"} {
			f.want(path, "new"+bigData[3:])
			if a := f.stat(path); a.Nlink != 3 || a.Mode != unix.S_IFREG|0o640 {
				t.Errorf("%s: %+v", path, a)
			}
		}
		f.reopen()
	}
}

func TestBorrowedDataOfDeletedFile(t *testing.T) {
	for name, early := range map[string]bool{"changed before": true, "changed after": false} {
		t.Run(name, func(t *testing.T) {
			f := newUnion(t, tree{"f": file(bigData)})
			n, err := f.walk("f")
			must(t, err)
			chmod := func() {
				mode := uint32(0o600)
				_, err := f.u.Setattr(n, SetAttr{Mode: &mode})
				must(t, err)
			}
			if early {
				chmod()
			}
			must(t, f.unlink("f"))
			chmod()
			got, err := f.contentOf(n)
			if err != nil || got != bigData {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			_, err = f.u.Write(n, []byte("new"), 0, asRoot)
			must(t, err)
			got, err = f.contentOf(n)
			if err != nil || got != "new"+bigData[3:] {
				t.Errorf("after write: %d bytes, %v", len(got), err)
			}
			f.u.Forget(n, 1)
			f.want("f", gone)
		})
	}
}

// TestBorrowedDataHalfCopied is what a crash in the middle of the copying leaves.
func TestBorrowedDataHalfCopied(t *testing.T) {
	f := newUnion(t, tree{"f": file(bigData)})
	must(t, f.chmod("f", 0o600))
	f.close()
	half, err := os.OpenFile(f.opts.Upper+"/f", os.O_WRONLY, 0)
	must(t, err)
	_, err = half.WriteAt([]byte("rubbish"), int64(len(bigData))+100)
	must(t, err)
	must(t, half.Close())
	f.open()
	f.want("f", bigData)
	must(t, f.write("f", "new", 0))
	f.want("f", "new"+bigData[3:])
}

func TestHolesStayHoles(t *testing.T) {
	f := newUnion(t, tree{"f": file("")})
	must(t, os.Truncate(f.opts.Lowers[0].Dir+"/f", 64<<20))
	must(t, f.chmod("f", 0o600))
	must(t, f.write("f", "end", 64<<20-3))
	if a := f.stat("f"); a.Size != 64<<20 || a.Blocks > 1024 {
		t.Errorf("%d bytes in %d blocks", a.Size, a.Blocks)
	}
}

func TestPathTooLongToBeReferredTo(t *testing.T) {
	path := strings.Repeat(strings.Repeat("d", 250)+"/", 15) + strings.Repeat("f", 200)
	f := newUnion(t, tree{path: file(bigData)})
	must(t, f.chmod(path, 0o600))
	f.reopen()
	f.want(path, bigData)
}

// forge sets an xattr of the upper's own.
func (f *fixture) forge(path, name, value string) {
	f.t.Helper()
	fd, err := unix.Open(f.opts.Upper+"/"+path, unix.O_PATH|unix.O_CLOEXEC, 0)
	must(f.t, err)
	defer unix.Close(fd)
	must(f.t, f.u.upper.Xattrs.Set(fd, name, value, 0))
}

func TestForgedReferences(t *testing.T) {
	secret := t.TempDir() + "/secret"
	must(t, os.WriteFile(secret, []byte("secret"), 0o644))
	f := newUnion(t, tree{"f": file("mine"), "d/x": file("x"), "s": file("s")})
	for _, name := range []string{layerfmt.DataXattr, layerfmt.RedirectXattr} {
		for _, path := range []string{"f", "d"} {
			must(t, f.setXattr(path, name, "1:s"))
		}
	}
	f.reopen()
	f.want("f", "mine")
	f.wantNames("d", "x")
	must(t, f.at("f", func(n *Node) error {
		value, err := f.u.GetXattr(n, layerfmt.DataXattr)
		if string(value) != "1:s" {
			t.Errorf("%q, %v", value, err)
		}
		return nil
	}))
	for _, bad := range []string{"1:../../secret", "1:" + secret, "2:s", "1:none", "1:d"} {
		f.forge("f", layerfmt.DataXattr, bad)
		f.reopen()
		if got := f.read("f"); !strings.HasPrefix(got, "!") {
			t.Errorf("%s: read %q", bad, got)
		}
	}
}

func TestReferencesInLowersAreRefused(t *testing.T) {
	f := newUnion(t, tree{
		"f":  file("f").attr(layerfmt.DataXattr, "1:s"),
		"d":  directory().attr(layerfmt.RedirectXattr, "1:e"),
		"ok": file("ok"),
	}, tree{"s": file("s"), "e/x": file("x")})
	for _, path := range []string{"f", "d"} {
		_, err := f.walk(path)
		wantErrno(t, path, err, unix.EIO)
	}
	f.wantNames("/", "e", "ok", "s")
}
