package tree

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/internal/xattrlog"
)

// xattrs are the xattrs of a tree's files, wherever they are kept. All reading of them goes through this interface.
type xattrs interface {
	get(l location, name string) (string, error)
	list(l location) ([]string, error)
	close() error
}

// onDisk are the xattrs that the filesystem keeps.
type onDisk struct{}

func (onDisk) get(l location, name string) (string, error) {
	fd, err := l.dir.FD()
	if err != nil {
		return "", err
	}
	value, err := beneath.File{FD: fd, Name: l.name}.Xattr(name)
	return string(value), err
}

func (onDisk) list(l location) ([]string, error) {
	fd, err := l.dir.FD()
	if err != nil {
		return nil, err
	}
	return beneath.File{FD: fd, Name: l.name}.Xattrs()
}

func (onDisk) close() error { return nil }

// inRecord are the xattrs of a layer that is written, by inode number.
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

// inIndex are the xattrs in an index, by name, so that they are right in a copy of the tree, too.
type inIndex struct{ *layerindex.Index }

var errNotIndexed = errors.New("its owner is in the index of the layer alone, which does not have it")

// entry returns what the index has of a file. It is nil for the mark of a deletion, which is not an entry.
func (x inIndex) entry(l location) (*layerindex.Entry, error) {
	if layerfmt.ReservedName(l.name) {
		return nil, nil
	}
	e, dir := x.Root(), layerindex.Dir{}
	for name := range strings.SplitSeq(l.path(), "/") {
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
			return nil, &os.PathError{Op: "look up in index", Path: l.String(), Err: err}
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

// isNoXattr tells whether the error says that the file has no xattr of the name.
func isNoXattr(err error) bool { return errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) }
