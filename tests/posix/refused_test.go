package posix

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// refused are the calls that a union refuses and a directory may not, with what they say. docs/union.md lists them.
var refused = map[string]struct {
	call func(file *os.File) error
	want unix.Errno
}{
	"FICLONE": {func(f *os.File) error { return unix.IoctlFileClone(int(f.Fd()), int(f.Fd())) },
		unix.EOPNOTSUPP},
	"FALLOC_FL_COLLAPSE": {func(f *os.File) error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE,
			0, 4096)
	}, unix.EOPNOTSUPP},
	"FALLOC_FL_INSERT": {func(f *os.File) error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_INSERT_RANGE,
			0, 4096)
	}, unix.EOPNOTSUPP},
	"RENAME_WHITEOUT": {func(f *os.File) error { return rename(f.Name(), f.Name()+"2", unix.RENAME_WHITEOUT) },
		unix.EINVAL},
	"a name that is a mark": {func(f *os.File) error { return os.Mkdir(dirOf(f)+"/.wh.x", 0o755) }, unix.EPERM},
	"renamed to a mark":     {func(f *os.File) error { return rename(f.Name(), dirOf(f)+"/.wh.x", 0) }, unix.EPERM},
	"linked to a mark":      {func(f *os.File) error { return os.Link(f.Name(), dirOf(f)+"/.wh.x") }, unix.EPERM},
	"a mark is looked up": {func(f *os.File) error { _, err := os.Lstat(dirOf(f) + "/.wh.x"); return err },
		unix.ENOENT},
}

func rename(from, to string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
}

func dirOf(f *os.File) string { return f.Name()[:len(f.Name())-len("/file")] }

// TestRefused tries what unions refuse, whichever they are.
func TestRefused(t *testing.T) {
	for name, k := range kinds {
		if k.kernel {
			continue
		}
		dir := t.TempDir()
		must(t, os.Chmod(dir, 0o755))
		f := newUnion(t, dir+"/union", k)
		f.addLayer()
		must(t, os.WriteFile(f.root+"/file", make([]byte, 16<<10), 0o644))
		for what, r := range refused {
			if what == "RENAME_WHITEOUT" && name == "caller" {
				continue // where a device is not a whiteout, one is left
			}
			file, err := os.OpenFile(f.root+"/file", os.O_RDWR, 0)
			must(t, err)
			if got := describe("", errnoIn(r.call(file))); got != unix.ErrnoName(r.want) {
				t.Errorf("%s: %s: %s, want %s", name, what, got, unix.ErrnoName(r.want))
			}
			must(t, file.Close())
		}
	}
}

// errnoIn returns the errno in an error.
func errnoIn(err error) error {
	switch e := err.(type) {
	case *os.PathError:
		return e.Err
	case *os.LinkError:
		return e.Err
	}
	return err
}
