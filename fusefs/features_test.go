package fusefs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHandles opens files by their handles, which the kernel resolves by asking for "." and "..".
func TestHandles(t *testing.T) {
	withLower(t, map[string]string{"d/sub/x": "lower"}).run(t, func(t *testing.T, mnt string) {
		mount, err := unix.Open(mnt, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err)
		defer unix.Close(mount)
		handles := map[string]unix.FileHandle{}
		for _, path := range []string{"", "d/sub", "d/sub/x"} {
			h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(mnt, path), 0)
			if errors.Is(err, unix.EOPNOTSUPP) {
				t.Fatal("there are no handles")
			}
			must(t, err)
			handles[path] = h
		}
		must(t, os.Chmod(mnt+"/d/sub/x", 0o600)) // copied up, it is the same file
		must(t, os.Rename(mnt+"/d/sub", mnt+"/moved"))
		for path, h := range handles {
			fd, err := unix.OpenByHandleAt(mount, h, unix.O_RDONLY)
			if errors.Is(err, unix.EPERM) {
				t.Skip("this kernel opens handles for root only")
			}
			if err != nil {
				t.Errorf("open the handle of %q: %v", path, err)
				continue
			}
			var byHandle, byName unix.Stat_t
			must(t, unix.Fstat(fd, &byHandle))
			must(t, unix.Stat(filepath.Join(mnt, strings.Replace(path, "d/sub", "moved", 1)), &byName))
			if byHandle.Ino != byName.Ino || byHandle.Mode != byName.Mode {
				t.Errorf("%q: %+v by handle, %+v by name", path, byHandle, byName)
			}
			unix.Close(fd)
		}
		must(t, os.Remove(mnt+"/moved/x"))
		if fd, err := unix.OpenByHandleAt(mount, handles["d/sub/x"], unix.O_RDONLY); err == nil {
			t.Error("a deleted file is opened by its handle")
			unix.Close(fd)
		}
	})
}

// TestLongNames uses the longest names and paths that there can be.
func TestLongNames(t *testing.T) {
	name := strings.Repeat("n", 255)
	m := withLower(t, map[string]string{"d/" + name: "lower"})
	m.run(t, func(t *testing.T, mnt string) {
		t.Chdir(mnt)
		wantFile(t, "d/"+name, "lower")
		must(t, os.WriteFile("d/"+name, []byte("upper"), 0o644))
		must(t, os.Rename("d/"+name, name))
		wantFile(t, name, "upper")
		must(t, os.Remove(name))
		if _, err := os.Lstat("d/" + name); !os.IsNotExist(err) {
			t.Errorf("a removed name: %v", err)
		}
		long := name + "n"
		for what, err := range map[string]error{
			"stat": statError(long), "mkdir": os.Mkdir(long, 0o755), "symlink": os.Symlink("x", long),
			"rename": unix.Rename("d", long),
			"link":   unix.Link("d/"+long, "x"), "create": os.WriteFile(long, nil, 0o644),
		} {
			if !errors.Is(err, unix.ENAMETOOLONG) {
				t.Errorf("%s of 256 bytes: %v", what, err)
			}
		}
		for _, odd := range []string{"new\nline", "tab\t", `back\slash`, "\xff\xfe", "ü", " ", "-", "a:b,c=d", "..."} {
			must(t, os.WriteFile(odd, []byte(odd), 0o644))
			wantFile(t, odd, odd)
		}
		deep := strings.Repeat(strings.Repeat("p", 15)+"/", 250)
		must(t, os.MkdirAll(deep, 0o755))
		last := strings.Repeat("l", 4095-len(deep))
		must(t, os.WriteFile(deep+last, []byte("deep"), 0o644))
		wantFile(t, deep+last, "deep")
		if err := statError(deep + last + "l"); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("a path of 4096 bytes: %v", err)
		}
		// What is deeper than a path can say is reached in steps.
		t.Chdir(deep)
		must(t, os.MkdirAll(deep, 0o755))
		must(t, os.WriteFile(deep+last, []byte("deeper"), 0o644))
		wantFile(t, deep+last, "deeper")
	})
}

func statError(path string) error {
	_, err := os.Lstat(path)
	return err
}

// TestHolesAndRanges moves, punches and looks for holes, in a file that is in a lower at first.
func TestHolesAndRanges(t *testing.T) {
	const block = 64 << 10
	m := withLower(t, map[string]string{"sparse": ""})
	if !inside() {
		fillSparse(t, m.lower(0)+"/sparse", block)
	}
	m.run(t, func(t *testing.T, mnt string) {
		f, err := os.OpenFile(mnt+"/sparse", os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		wantExtents := func(when string, want ...int64) {
			t.Helper()
			if got := extents(t, f); !slices.Equal(got, want) {
				t.Errorf("%s: data at %v blocks, want %v", when, got, want)
			}
		}
		wantExtents("in the lower", 2, 3, 6, 7)
		must(t, f.Chmod(0o600))
		wantExtents("after chmod", 2, 3, 6, 7)
		_, err = f.WriteAt([]byte("x"), 2*block)
		must(t, err)
		wantExtents("after a write", 2, 3, 6, 7)
		if _, err := unix.Seek(int(f.Fd()), 10*block, unix.SEEK_DATA); !errors.Is(err, unix.ENXIO) {
			t.Errorf("data at the end: %v", err)
		}
		fallocate := func(mode uint32, at, length int64) error {
			return unix.Fallocate(int(f.Fd()), mode, at*block, length*block)
		}
		must(t, fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 6, 1))
		wantExtents("after punching a hole", 2, 3)
		must(t, fallocate(0, 9, 3))
		if st, err := f.Stat(); err != nil || st.Size() != 12*block {
			t.Errorf("after allocating: %d bytes, %v", st.Size(), err)
		}
		must(t, fallocate(unix.FALLOC_FL_KEEP_SIZE, 12, 3))
		if st, err := f.Stat(); err != nil || st.Size() != 12*block {
			t.Errorf("after allocating behind the end: %d bytes, %v", st.Size(), err)
		}
		from, to := int64(2*block), int64(5*block)
		n, err := unix.CopyFileRange(int(f.Fd()), &from, int(f.Fd()), &to, block, 0)
		must(t, err)
		if n != block {
			t.Errorf("copied %d bytes", n)
		}
		buf := make([]byte, 2)
		if _, err := f.ReadAt(buf, 5*block); err != nil || string(buf) != "xd" {
			t.Errorf("copied %q, %v", buf, err)
		}
		must(t, fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 5, 1))
		if _, err := f.ReadAt(buf, 5*block); err != nil || string(buf) != "\x00\x00" {
			t.Errorf("in the hole is %q, %v", buf, err)
		}
	})
}

// fillSparse gives a file ten blocks, of which the third and the seventh are no holes.
func fillSparse(t *testing.T, path string, block int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	for _, at := range []int64{2 * block, 6 * block} {
		_, err = f.WriteAt([]byte(strings.Repeat("d", int(block))), at)
		must(t, err)
	}
	must(t, f.Truncate(10*block))
	must(t, f.Close())
}

// extents returns where the data of a file begins and ends, by turns, in blocks.
func extents(t *testing.T, f *os.File) (at []int64) {
	t.Helper()
	const block = 64 << 10
	for offset, whence := int64(0), unix.SEEK_DATA; ; {
		next, err := unix.Seek(int(f.Fd()), offset, whence)
		if errors.Is(err, unix.ENXIO) {
			return at
		}
		must(t, err)
		at = append(at, next/block)
		offset, whence = next, unix.SEEK_DATA+unix.SEEK_HOLE-whence
	}
}

// TestXattrNamespaces sets xattrs of all namespaces, also of names that mean something to readers of layers.
func TestXattrNamespaces(t *testing.T) {
	m := withLower(t, map[string]string{"f": "lower", "d/x": "x"})
	names := []string{"user.note", "user.overlay.opaque", "user.rcrun.data", "user.containers.override_stat",
		"security.note"}
	m.check = func(t *testing.T, m *mounted, _ *Counters) {
		for _, name := range names {
			if n, err := unix.Getxattr(m.upper()+"/f", name, make([]byte, 64)); err == nil && n == len(name) &&
				name != "user.note" {
				t.Errorf("%s is on disk by this name", name)
			}
		}
	}
	m.run(t, func(t *testing.T, mnt string) {
		for _, path := range []string{mnt + "/f", mnt + "/d", mnt} {
			for _, name := range names {
				must(t, unix.Setxattr(path, name, []byte(name), unix.XATTR_CREATE))
			}
			for _, name := range names {
				buf := make([]byte, 64)
				if n, err := unix.Getxattr(path, name, buf); err != nil || string(buf[:n]) != name {
					t.Errorf("%s of %s: %q, %v", name, path, buf[:max(n, 0)], err)
				}
			}
			buf := make([]byte, 4096)
			n, err := unix.Listxattr(path, buf)
			must(t, err)
			listed := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
			slices.Sort(listed)
			if want := slices.Sorted(slices.Values(names)); !slices.Equal(listed, want) {
				t.Errorf("%s: listed %q", path, listed)
			}
			wantXattrErrors(t, path)
		}
		must(t, os.Symlink("f", mnt+"/link"))
		if err := unix.Lsetxattr(mnt+"/link", "user.note", nil, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("xattr of a link: %v", err)
		}
		if err := unix.Mkfifo(mnt+"/pipe", 0o600); err != nil {
			t.Error(err)
		}
		if err := unix.Setxattr(mnt+"/pipe", "user.note", nil, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("xattr of a pipe: %v", err)
		}
	})
}

// wantXattrErrors checks the errors of calls on a file that has the xattr user.note and not user.none.
func wantXattrErrors(t *testing.T, path string) {
	t.Helper()
	for _, c := range []struct {
		what      string
		err, want error
	}{
		{"making an existing one", unix.Setxattr(path, "user.note", nil, unix.XATTR_CREATE), unix.EEXIST},
		{"reading", xattrError(path, "user.none", nil), unix.ENODATA},
		{"small buffer", xattrError(path, "user.note", make([]byte, 1)), unix.ERANGE},
		{"replacing", unix.Setxattr(path, "user.none", nil, unix.XATTR_REPLACE), unix.ENODATA},
		{"removing", unix.Removexattr(path, "user.none"), unix.ENODATA},
		{"no namespace", unix.Setxattr(path, "note", nil, 0), unix.EOPNOTSUPP},
		{"trusted, which is for root on the host", unix.Setxattr(path, "trusted.note", nil, 0), unix.EPERM},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s, %s: %v, want %v", path, c.what, c.err, c.want)
		}
	}
}

func xattrError(path, name string, buf []byte) error {
	_, err := unix.Getxattr(path, name, buf)
	return err
}

// TestWhiteoutsOfContainers makes files that are whiteouts to a union mounted on top of this one.
func TestWhiteoutsOfContainers(t *testing.T) {
	withLower(t, map[string]string{"f": "lower", "g": "lower"}).run(t, func(t *testing.T, mnt string) {
		wantDevice := func(path string) {
			t.Helper()
			var st unix.Stat_t
			if err := unix.Lstat(mnt+path, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
				t.Errorf("%s: %+v, %v", path, st, err)
			}
		}
		must(t, unix.Mknod(mnt+"/w", unix.S_IFCHR|0o600, 0))
		wantDevice("/w")
		must(t, unix.Renameat2(unix.AT_FDCWD, mnt+"/f", unix.AT_FDCWD, mnt+"/moved", unix.RENAME_WHITEOUT))
		wantDevice("/f")
		wantFile(t, mnt+"/moved", "lower")
		must(t, os.Remove(mnt+"/f"))
		must(t, os.Rename(mnt+"/w", mnt+"/g"))
		wantDevice("/g")
		entries, err := os.ReadDir(mnt)
		must(t, err)
		if got := fmt.Sprint(entries); len(entries) != 2 {
			t.Errorf("listed %s", got)
		}
	})
}
