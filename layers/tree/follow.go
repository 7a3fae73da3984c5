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
// The kernel cannot follow all links, because a link of another owner than 0:0 is a regular file on disk. So this file
// reads links one by one, and opens what they lead to from the root, by names that are not links. So no link leads out
// of the tree, whatever its target.

// maxLinks is how many links a name may lead through. The kernel has the same limit.
const maxLinks = 40

// enter opens the directory that parts lead to, beneath the root, and returns its components without links. It makes
// what is missing, as open does.
func (w *walker) enter(parts []string, missing func(dirfd int, parts []string) error) (dirfd int, real []string,
	err error) {
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
// and the parent of the root is the root. A missing component is not a link.
func (w *walker) resolve(parts []string) ([]string, error) {
	r := resolver{walker: w, fd: -1}
	defer r.leave()
	links := 0
	for todo := slices.Clone(parts); len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		target, err := r.step(part)
		if err != nil {
			return nil, err
		}
		if target == "" {
			continue
		}
		if links++; links > maxLinks {
			return nil, unix.ELOOP
		}
		if strings.HasPrefix(target, "/") {
			r.leave()
			r.real, r.missing = nil, 0
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return r.real, checkPath(r.real)
}

// resolver is on its way through a tree, and keeps the directory open that it is in. Opening each directory from the
// root would take a time that grows with the square of the depth.
type resolver struct {
	walker  *walker
	real    []string // where it is
	missing int      // how many of these are missing or not directories
	fd      int      // of the last one that is there; -1 for the root
}

// leave goes back to the root.
func (r *resolver) leave() {
	if r.fd >= 0 {
		unix.Close(r.fd)
	}
	r.fd = -1
}

// dirfd returns the descriptor of the directory that the resolver is in.
func (r *resolver) dirfd() int {
	if r.fd >= 0 {
		return r.fd
	}
	return r.walker.root
}

// step goes on by one component. If the component is a symbolic link, step stays and returns the target.
func (r *resolver) step(part string) (target string, err error) {
	switch {
	case part == "" || part == ".":
		return "", nil
	case part == "..":
		return "", r.up()
	case layerfmt.ReservedName(part):
		return "", errReserved
	}
	if r.missing == 0 {
		if target, err = r.readLink(part); target != "" || err != nil {
			return target, err
		}
	}
	return "", r.down(part)
}

func (r *resolver) down(name string) error {
	r.real = append(r.real, name)
	if r.missing > 0 {
		r.missing++
		return nil
	}
	fd, err := openDir(r.dirfd(), name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		r.missing = 1 // opening the whole path reports it, or makes it
		return nil
	}
	if err != nil {
		return err
	}
	r.leave()
	r.fd = fd
	return nil
}

// up goes to the parent. The resolver is beneath the root, no link has led there, and nothing moves the directory.
func (r *resolver) up() error {
	if len(r.real) == 0 {
		return nil
	}
	r.real = r.real[:len(r.real)-1]
	if r.missing > 0 {
		r.missing--
		return nil
	}
	if len(r.real) == 0 {
		r.leave()
		return nil
	}
	fd, err := openDir(r.fd, "..")
	if err != nil {
		return err
	}
	r.leave()
	r.fd = fd
	return nil
}

// readLink returns the target of a symbolic link in the directory that the resolver is in, "" if the name is not a link
// or missing.
func (r *resolver) readLink(name string) (string, error) {
	var st unix.Stat_t
	err := unix.Fstatat(r.dirfd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	at := r.walker.location(r.dirfd(), append(slices.Clone(r.real), name))
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
