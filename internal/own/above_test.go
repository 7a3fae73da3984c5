package own

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckAbove(t *testing.T) {
	base := t.TempDir() // below a directory that others may write to, which has the sticky bit
	open := filepath.Join(base, "open")
	inner := filepath.Join(open, "mine")
	link := filepath.Join(base, "link")
	for _, dir := range []string{open, inner} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(inner, link); err != nil {
		t.Fatal(err)
	}
	for mode, refused := range map[os.FileMode]bool{
		0o755: false, 0o711: false, 0o777 | os.ModeSticky: false,
		0o775: false, // by the primary group of the caller
		0o777: true, 0o757: true, 0o702: true,
	} {
		if err := os.Chmod(open, mode); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{
			inner, filepath.Join(inner, "rcrun"), filepath.Join(open, "missing", "rcrun"), filepath.Join(link, "rcrun"),
		} {
			err := CheckAbove(path)
			if (err != nil) != refused || refused && !strings.Contains(err.Error(), "chmod o-w "+open) {
				t.Errorf("%s below a directory of mode %v: %v", path, mode, err)
			}
		}
	}
	if err := CheckAbove("/rcrun-nosuch"); err != nil {
		t.Errorf("below the root directory: %v", err)
	}
	if err := CheckAbove("/dev/null/rcrun"); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// Of what a group may write to, only that of the caller's primary group and root's are left to it.
func TestCheckAboveOfGroups(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shared")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		groups = append(groups, 12345)
	}
	for _, gid := range groups {
		if err := os.Chown(dir, -1, gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o770); err != nil {
			t.Fatal(err)
		}
		refused := gid != 0 && gid != os.Getegid()
		if err := CheckAbove(filepath.Join(dir, "rcrun")); (err != nil) != refused {
			t.Errorf("writable by group %d of %d: %v", gid, os.Getegid(), err)
		}
	}
}
