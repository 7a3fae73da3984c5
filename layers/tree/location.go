package tree

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
)

// location is a file of a tree: the name in an open directory, "." being the directory itself. Only that directory
// leads to it, and a container cannot exchange an open directory for a link. What is there can change all the time.
type location struct {
	dir    directory
	name   string
	xattrs xattrs // of the tree
}

// directory is a directory that a file is looked for in.
type directory interface {
	FD() (int, error) // valid until another one is asked for
	Path() string     // from the root of the tree
}

// held is a directory that a caller keeps open.
type held struct {
	fd   int
	path string
}

func (h held) FD() (int, error) { return h.fd, nil }
func (h held) Path() string     { return h.path }

// path returns the path from the root of the tree, "" for the root itself.
func (l location) path() string {
	switch dir := l.dir.Path(); {
	case l.name == ".":
		return dir
	case dir == "":
		return l.name
	default:
		return dir + "/" + l.name
	}
}

// String names the file in errors.
func (l location) String() string { return "/" + l.path() }

// goneError is the error of an entry that is gone, or has become something else. That happens while a container is at
// work.
type goneError struct {
	os.PathError
}

func (e *goneError) Unwrap() error { return e.Err }

func isGone(err error) bool {
	var gone *goneError
	return errors.As(err, &gone)
}

// fault is the error of an operation on the file.
func (l location) fault(op string, err error) error {
	if err == nil {
		return nil
	}
	path := os.PathError{Op: op, Path: l.String(), Err: err}
	switch err {
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, errChanged:
		return &goneError{path}
	}
	return &path
}

// errChanged is the error of a file that has become a file of another type.
var errChanged = errors.New("it has changed")

// stat is lstat(2).
func (l location) stat() (st unix.Stat_t, err error) {
	fd, err := l.dir.FD()
	if err == nil {
		st, err = beneath.Stat(fd, l.name)
	}
	return st, l.fault("stat", err)
}

// open opens a regular file for reading.
func (l location) open() (*os.File, error) {
	at, err := l.dir.FD()
	if err != nil {
		return nil, l.fault("open", err)
	}
	fd, err := beneath.Open(at, l.name, unix.O_RDONLY|unix.O_NONBLOCK, 0) // without waiting for a fifo
	if err != nil {
		return nil, l.fault("open", err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errChanged
	}
	if err != nil {
		unix.Close(fd)
		return nil, l.fault("open", err)
	}
	return os.NewFile(uintptr(fd), l.name), nil
}

// readLink returns the target of a symbolic link, which may be the content of a file. st is what the file was.
func (l location) readLink(st *unix.Stat_t) (string, error) {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		fd, err := l.dir.FD()
		var target string
		if err == nil {
			target, err = beneath.Readlink(fd, l.name)
		}
		if err == unix.EINVAL {
			err = errChanged
		}
		return target, l.fault("read link", err)
	}
	if st.Size > maxPath {
		return "", errors.New("target of symbolic link is too long")
	}
	file, err := l.open()
	if err != nil {
		return "", err
	}
	defer file.Close()
	target := make([]byte, st.Size)
	n, err := file.ReadAt(target, 0)
	if n < len(target) && err != nil {
		return "", fmt.Errorf("read target of symbolic link: %w", err)
	}
	return string(target), nil
}

// getXattr returns the value of an xattr of the file itself. The error is ENODATA or ENOTSUP if the file has no xattr
// of that name.
func (l location) getXattr(name string) (string, error) { return l.xattrs.get(l, name) }

// hasXattr tells whether the file has one of several xattrs.
func (l location) hasXattr(names []string) bool {
	has, err := l.xattrs.list(l)
	return err == nil && slices.ContainsFunc(has, func(name string) bool { return slices.Contains(names, name) })
}

// listXattrs returns the names of all xattrs.
func (l location) listXattrs() ([]string, error) {
	names, err := l.xattrs.list(l)
	return names, l.fault("list xattrs of", err)
}

// enter opens the directory that the file is.
func (l location) enter() (dir, error) {
	within, ok := l.dir.(*beneath.Dir)
	if !ok {
		return dir{}, l.fault("open", unix.EINVAL)
	}
	if l.name == "." {
		return dir{within, l.xattrs}, nil
	}
	entered, err := within.Enter(l.name)
	return dir{entered, l.xattrs}, l.fault("open", err)
}

// dir is a directory of a tree that is read.
type dir struct {
	*beneath.Dir
	xattrs xattrs // of the tree
}

// child returns an entry.
func (d dir) child(name string) location { return location{d.Dir, name, d.xattrs} }

// self returns the directory as a file.
func (d dir) self() location { return d.child(".") }

// leave closes the directory, unless it is a root.
func (d dir) leave() {
	if d.Dir != d.Root() {
		d.Leave()
	}
}

// names adds the names in the directory.
func (d dir) names(to []string) ([]string, error) {
	err := d.Read(func(e beneath.Entry) { to = append(to, e.Name) })
	return to, d.self().fault("read", err)
}

// entered opens the directories of a merged one, the nearest first, down to the one that hides those below it.
// Directories that are gone show nothing.
func entered(paths []location) (dirs []dir, err error) {
	for _, at := range paths {
		d, err := at.enter()
		if isGone(err) {
			continue
		}
		if err != nil {
			leave(dirs)
			return nil, err
		}
		dirs = append(dirs, d)
		if isOpaque(d) {
			break
		}
	}
	return dirs, nil
}

func leave(dirs []dir) {
	for _, d := range dirs {
		d.leave()
	}
}
