package own

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CheckAbove returns an error if other users may replace path, or something above it: if they may write to a directory
// on the way that has no sticky bit. What is missing does not count, because its maker decides who may write to it.
// Where a symbolic link is on the way, the way to its target counts, too.
func CheckAbove(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	existing := filepath.Dir(path)
	for {
		_, err := os.Stat(existing)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || existing == "/" {
			return err
		}
		existing = filepath.Dir(existing)
	}
	target, err := filepath.EvalSymlinks(existing)
	if err != nil {
		return err
	}
	ways := []string{existing}
	if target != existing {
		ways = append(ways, target)
	}
	for _, way := range ways {
		if err := checkWay(way, path); err != nil {
			return err
		}
	}
	return nil
}

// checkWay checks the existing directory dir and all directories above it. path is what other users must not be able to
// replace.
func checkWay(dir, path string) error {
	for ; ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return &os.PathError{Op: "stat", Path: dir, Err: err}
		}
		if openToOthers(&st) {
			return fmt.Errorf("other users may write to %s (mode %04o) and replace %s in it: "+
				"mend it with \"chmod %s %s\"", dir, st.Mode&0o7777, path, closing(&st), dir)
		}
		if dir == "/" {
			return nil
		}
	}
}

// openToOthers tells whether users besides the caller, root and the owner of a directory may replace its entries. Group
// 0 is root's. The caller's primary group counts as the caller's alone, because with most distributions it has no other
// member, and programs make directories that it may write to.
func openToOthers(st *unix.Stat_t) bool {
	if st.Mode&unix.S_ISVTX != 0 {
		return false
	}
	trusted := st.Gid == 0 || st.Gid == uint32(os.Getegid())
	return st.Mode&0o002 != 0 || st.Mode&0o020 != 0 && !trusted
}

// closing returns the change of mode that closes a directory to other users.
func closing(st *unix.Stat_t) string {
	if st.Mode&0o002 == 0 {
		return "g-w"
	}
	return "o-w"
}
