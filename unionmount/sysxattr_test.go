package unionmount

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// readXattr returns the value of an xattr of the file that path names, links not followed.
func readXattr(path, name string) ([]byte, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return xattrSource{int(dir.Fd()), filepath.Base(path)}.read(name)
}

// TestXattrSources asks for the xattrs of one file in all ways.
func TestXattrSources(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	must(t, err)
	defer dir.Close()
	path := dir.Name() + "/file"
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Symlink("file", dir.Name()+"/link"))
	long := strings.Repeat("x", 300)
	must(t, unix.Setxattr(path, "user.long", []byte(long), 0))
	must(t, unix.Setxattr(path, "user.short", []byte("s"), 0))
	fd, err := unix.Open(path, unix.O_PATH, 0)
	must(t, err)
	defer unix.Close(fd)
	for _, x := range []xattrSource{{int(dir.Fd()), "file"}, {fd: fd}} {
		names, err := x.list()
		slices.Sort(names)
		if err != nil || !slices.Equal(names, []string{"user.long", "user.short"}) {
			t.Errorf("%+v: %q, %v", x, names, err)
		}
		if value, err := x.read("user.long"); err != nil || string(value) != long {
			t.Errorf("%+v: %q, %v", x, value, err)
		}
		if _, err := x.read("user.none"); err != unix.ENODATA {
			t.Errorf("%+v: %v", x, err)
		}
	}
	link := xattrSource{int(dir.Fd()), "link"}
	if names, err := link.list(); err != nil || len(names) != 0 {
		t.Errorf("of a link: %q, %v", names, err)
	}
	if _, err := link.read("user.short"); err == nil {
		t.Error("a link was followed")
	}
}
