package tree

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// The author of a tar may put an entry below a symbolic link of the same layer, as in "bin -> usr/bin" and "bin/sh".
// The kernel is not asked to follow links: those of other owners than 0:0 are regular files on disk, which it cannot
// follow. They are read here one by one, and what they lead to is opened again from the root by names that are no
// links. Thus no link leads out of the tree, whatever it says.

// maxLinks is how many links a name may lead through, as for the kernel.
const maxLinks = 40

// enter opens the directory that parts lead to, beneath the root, and returns also its components without links. What
// is missing is made as open does it.
func (w *walker) enter(parts []string, missing func(dirfd int, parts []string) error) (dirfd int, real []string, err error) {
	asked := strings.Join(parts, "/")
	if w.fd >= 0 && w.alias != "" && w.alias == asked {
		return w.fd, strings.Split(w.path, "/"), nil
	}
	dirfd, err = w.open(parts, missing)
	if !errors.Is(err, unix.ENOTDIR) {
		return dirfd, parts, err
	}
	if real, err = w.resolve(parts); err != nil {
		return -1, nil, err
	}
	if dirfd, err = w.open(real, missing); err == nil && w.fd >= 0 {
		w.alias = asked
	}
	return dirfd, real, err
}

// resolve returns the components to which parts lead in the tree. The target of an absolute link begins at the root,
// and the parent of the root is the root. What is missing is no link.
func (w *walker) resolve(parts []string) ([]string, error) {
	var real []string
	links := 0
	for todo := slices.Clone(parts); len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			real = real[:max(0, len(real)-1)]
			continue
		case layerfmt.ReservedName(part):
			return nil, errReserved
		}
		target, err := w.readLink(real, part)
		if err != nil {
			return nil, err
		}
		if target == "" {
			real = append(real, part)
			continue
		}
		if links++; links > maxLinks {
			return nil, unix.ELOOP
		}
		if strings.HasPrefix(target, "/") {
			real = nil
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return real, checkPath(real)
}

// readLink returns the target of a symbolic link, "" for anything else and for nothing.
func (w *walker) readLink(dir []string, name string) (string, error) {
	dirfd, err := w.open(dir, nil)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return "", nil // which opening the whole says
	}
	if err != nil {
		return "", err
	}
	at := w.location(dirfd, append(slices.Clone(dir), name))
	st, err := at.stat()
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	logical, err := logicalStat(at, &st)
	if err != nil || logical.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", err
	}
	target, err := at.readLink(&st)
	if err == nil && target == "" {
		err = fmt.Errorf("%q: symbolic link without a target", name)
	}
	return target, err
}

// location returns where the last of parts is, in the open directory of the others.
func (w *walker) location(dirfd int, parts []string) location {
	last := len(parts) - 1
	return location{held{dirfd, strings.Join(parts[:last], "/")}, parts[last], w.xattrs}
}
