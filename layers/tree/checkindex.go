package tree

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerindex"
)

// ErrBadIndex is the error of CheckIndex if the tree may be good and the index must be written again.
var ErrBadIndex = errors.New("its index cannot be used")

// CheckIndex compares the tree at root with the index at path, except for what a copy of the tree changes: inode
// numbers and times of change. scratch is a file for a new index of the tree. alone says that only the index knows
// owners and xattrs; then these are not compared.
func CheckIndex(root, scratch *os.File, path string, alone bool) error {
	then, err := layerindex.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadIndex, err)
	}
	defer then.Close()
	of := xattrs(onDisk{})
	if alone {
		of = inIndex{then}
	}
	if err := writeIndex(root, scratch, of); err != nil {
		return err
	}
	now, err := layerindex.Open(scratch.Name())
	if err != nil {
		return err
	}
	defer now.Close()
	c := indexComparison{then: then, now: now}
	was, is := then.Root(), now.Root()
	return c.entry("", was, is, layerindex.Dir{}, layerindex.Dir{})
}

// VerifyIndex reads all of the index at path. The error is ErrBadIndex.
func VerifyIndex(path string) error {
	x, err := layerindex.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadIndex, err)
	}
	defer x.Close()
	if err := verifyDir(x, x.Root(), layerindex.Dir{}); err != nil {
		return fmt.Errorf("%w: %w", ErrBadIndex, err)
	}
	return nil
}

// verifyDir reads what an index has below the directory e, which was found in parent.
func verifyDir(x *layerindex.Index, e layerindex.Entry, parent layerindex.Dir) error {
	dir, err := x.Dir(&e, parent)
	if err != nil {
		return err
	}
	names, err := namesOf(dir)
	for _, name := range names {
		child, found, lookupErr := dir.Lookup(name)
		if err = errors.Join(err, lookupErr); err != nil {
			return err
		}
		if found && child.IsDir() {
			if err := verifyDir(x, child, dir); err != nil {
				return err
			}
		}
	}
	return err
}

// indexComparison compares an index with one of the same tree, made later.
type indexComparison struct{ then, now *layerindex.Index }

// entry compares the entries of a name, which were found in two directories, and what is below them.
func (c indexComparison) entry(path string, was, is layerindex.Entry, wasIn, isIn layerindex.Dir) error {
	if !sameEntry(&was, &is) {
		return fmt.Errorf("/%s has changed since it was unpacked", path)
	}
	if !was.IsDir() {
		return nil
	}
	before, err := c.then.Dir(&was, wasIn)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadIndex, err)
	}
	after, err := c.now.Dir(&is, isIn)
	if err != nil {
		return err
	}
	return c.directory(path, before, after)
}

func (c indexComparison) directory(path string, before, after layerindex.Dir) error {
	names, err := namesOf(before)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadIndex, err)
	}
	found, err := namesOf(after)
	if err != nil {
		return err
	}
	if !slices.Equal(names, found) {
		return fmt.Errorf("/%s has other entries than were unpacked", path)
	}
	for _, name := range names {
		was, _, err := before.Lookup(name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrBadIndex, err)
		}
		is, _, err := after.Lookup(name)
		if err != nil {
			return err
		}
		below := name
		if path != "" {
			below = path + "/" + name
		}
		if err := c.entry(below, was, is, before, after); err != nil {
			return err
		}
	}
	return nil
}

func namesOf(dir layerindex.Dir) (names []string, err error) {
	err = dir.Names(func(name string) { names = append(names, name) })
	return names, err
}

// sameEntry tells whether a container sees the same in two entries.
func sameEntry(a, b *layerindex.Entry) bool {
	sameSize := a.Stat.Mode&unix.S_IFMT != unix.S_IFREG || a.Size == b.Size
	return a.Whiteout == b.Whiteout && a.Opaque == b.Opaque && a.Stat == b.Stat && sameSize && a.Mtime == b.Mtime &&
		a.Target == b.Target && slices.Equal(a.Xattrs, b.Xattrs)
}
