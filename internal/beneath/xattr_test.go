package beneath_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
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
	for _, x := range []beneath.File{{FD: int(dir.Fd()), Name: "file"}, {FD: fd}} {
		names, err := x.Xattrs()
		slices.Sort(names)
		if err != nil || !slices.Equal(names, []string{"user.long", "user.short"}) {
			t.Errorf("%+v: %q, %v", x, names, err)
		}
		if value, err := x.Xattr("user.long"); err != nil || string(value) != long {
			t.Errorf("%+v: %q, %v", x, value, err)
		}
		if _, err := x.Xattr("user.none"); err != unix.ENODATA {
			t.Errorf("%+v: %v", x, err)
		}
	}
	link := beneath.File{FD: int(dir.Fd()), Name: "link"}
	if names, err := link.Xattrs(); err != nil || len(names) != 0 {
		t.Errorf("of a link: %q, %v", names, err)
	}
	if _, err := link.Xattr("user.short"); err == nil {
		t.Error("a link was followed")
	}
}
