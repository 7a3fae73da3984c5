package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/internal/xattrlog"
)

// Tree is a layer's tree on disk, and where it is said of its files what plain ones cannot show. That is in their xattrs,
// where the filesystem keeps some; elsewhere it is in one of two files.
type Tree struct {
	Dir string
	// Index is the path of the index of an image layer that alone says it; "" if the files do, or Side.
	Index string
	// Side is the path of the record, as package xattrlog has it, of the xattrs of a layer that is written; "" for none.
	Side string
}

// Root returns the owner and mode of the root directory.
func (t Tree) Root() (layerfmt.Stat, error) {
	root, err := t.open()
	if err != nil {
		return layerfmt.Stat{}, err
	}
	defer root.xattrs.close()
	return readStat(root)
}

// open returns the root of a tree.
func (t Tree) open() (location, error) {
	root := location{path: t.Dir, xattrs: onDisk{}}
	switch {
	case t.Index != "":
		index, err := layerindex.Open(t.Index)
		if err != nil {
			return root, fmt.Errorf("owners of %s: %w", t.Dir, err)
		}
		root.xattrs = inIndex{index}
	case t.Side != "":
		st, err := root.stat()
		if err != nil {
			return root, err
		}
		records, err := xattrlog.Read(t.Side, st.Ino)
		if err != nil {
			return root, fmt.Errorf("owners of %s: %w", t.Dir, err)
		}
		root.xattrs = inRecord{records}
	}
	return root, nil
}

// location is a file of a tree.
type location struct {
	path   string // on disk
	rel    string // from the root of the tree, "" being the root itself
	xattrs xattrs // of the tree
}

// child returns an entry of a directory.
func (l location) child(name string) location {
	return location{filepath.Join(l.path, name), filepath.Join(l.rel, name), l.xattrs}
}

// stat is lstat(2).
func (l location) stat() (st unix.Stat_t, err error) {
	if err := unix.Lstat(l.path, &st); err != nil {
		return st, &os.PathError{Op: "stat", Path: l.path, Err: err}
	}
	return st, nil
}

// getXattr returns the value of an xattr of the file itself. The error is ENODATA or ENOTSUP if it has none of the name.
func (l location) getXattr(name string) (string, error) { return l.xattrs.get(l, name) }

func (l location) hasXattr(name string) bool {
	_, err := l.getXattr(name)
	return err == nil
}

// listXattrs returns the names of all xattrs.
func (l location) listXattrs() ([]string, error) { return l.xattrs.list(l) }

// xattrs are where the xattrs of a tree's files are. Everything that reads them goes through it.
type xattrs interface {
	get(l location, name string) (string, error)
	list(l location) ([]string, error)
	close() error
}

// onDisk are those that the filesystem keeps.
type onDisk struct{}

func (onDisk) get(l location, name string) (string, error) { return getXattr(l.path, name) }

func (onDisk) list(l location) ([]string, error) { return listXattrs(l.path) }

func (onDisk) close() error { return nil }

// inRecord are those of a layer that is written, by inode number.
type inRecord struct{ *xattrlog.Records }

func (r inRecord) get(l location, name string) (string, error) {
	st, err := l.stat()
	if err != nil {
		return "", err
	}
	value, ok := r.Get(st.Ino, name)
	if !ok {
		return "", unix.ENODATA
	}
	return value, nil
}

func (r inRecord) list(l location) ([]string, error) {
	st, err := l.stat()
	return r.Names(st.Ino), err
}

func (inRecord) close() error { return nil }

// inIndex are those that an index speaks of, by name, so that they are right in a copy of the tree, too.
type inIndex struct{ *layerindex.Index }

var errNotIndexed = errors.New("its owner is in the index of the layer alone, which does not have it")

// entry returns what the index has of a file; nil of a mark of deletion, which is not an entry.
func (x inIndex) entry(l location) (*layerindex.Entry, error) {
	if layerfmt.ReservedName(filepath.Base(l.rel)) {
		return nil, nil
	}
	e, dir := x.Root(), layerindex.Dir{}
	for name := range strings.SplitSeq(l.rel, "/") {
		if name == "" {
			break
		}
		var found bool
		var err error
		if dir, err = x.Dir(&e, dir); err == nil {
			e, found, err = dir.Lookup(name)
		}
		if err == nil && !found {
			err = errNotIndexed
		}
		if err != nil {
			return nil, &os.PathError{Op: "look up in index", Path: l.path, Err: err}
		}
	}
	return &e, nil
}

func (x inIndex) get(l location, name string) (string, error) {
	e, err := x.entry(l)
	if err != nil {
		return "", err
	}
	if e == nil {
		return "", unix.ENODATA
	}
	switch {
	case name == layerfmt.StatXattr && !e.Whiteout:
		return e.Stat.Encode(), nil
	case name == layerfmt.WhiteoutXattr && e.Whiteout:
		return "", nil
	case name == layerfmt.OpaqueXattr && e.Opaque:
		return "y", nil
	}
	for _, attr := range e.Xattrs {
		if layerfmt.EscapeXattr(attr.Name) == name {
			return attr.Value, nil
		}
	}
	return "", unix.ENODATA
}

func (x inIndex) list(l location) ([]string, error) {
	e, err := x.entry(l)
	if e == nil || err != nil {
		return nil, err
	}
	if e.Whiteout {
		return []string{layerfmt.WhiteoutXattr}, nil
	}
	names := []string{layerfmt.StatXattr}
	if e.Opaque {
		names = append(names, layerfmt.OpaqueXattr)
	}
	for _, attr := range e.Xattrs {
		names = append(names, layerfmt.EscapeXattr(attr.Name))
	}
	return names, nil
}

func (x inIndex) close() error { return x.Close() }

// isNoXattr tells whether a file just has no xattr of the name.
func isNoXattr(err error) bool { return errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) }
