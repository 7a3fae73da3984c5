package tree

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// openDir opens the directory name in dirfd. It does not follow a symbolic link.
func openDir(dirfd int, name string) (int, error) {
	fd, err := beneath.Open(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return -1, fmt.Errorf("%q: %w", name, unix.ENOTDIR)
	}
	return fd, err
}

// walker opens directories of one tree by their components. It keeps the directory open that was asked for last,
// because the entries of a tar come directory by directory. It keeps no other, because only in that one can something
// have been replaced meanwhile.
type walker struct {
	root   int    // descriptor, the caller's
	xattrs xattrs // of the tree; they show which regular files are links
	path   string
	alias  string // a path with links that leads to path; "" for none
	fd     int    // of path; -1 when none is kept
}

func newWalker(root int, of xattrs) *walker { return &walker{root: root, xattrs: of, fd: -1} }

// forget closes the kept directory.
func (w *walker) forget() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	w.fd, w.path, w.alias = -1, "", ""
}

// open returns a descriptor of the directory, valid until the next call of a method. It follows no link. If a component
// is missing, it calls missing to make it, with the parent and the components down to it; if missing is nil, that is an
// error.
func (w *walker) open(parts []string, missing func(dirfd int, parts []string) error) (int, error) {
	path := strings.Join(parts, "/")
	if w.fd >= 0 && w.path == path {
		return w.fd, nil
	}
	dirfd, from := w.start(path)
	for i, part := range parts {
		if i < from {
			continue
		}
		fd, err := openDir(dirfd, part)
		if err != nil && missing != nil && w.isMissing(dirfd, parts[:i+1], err) {
			if err = missing(dirfd, parts[:i+1]); err == nil {
				fd, err = openDir(dirfd, part)
			}
		}
		if dirfd != w.root {
			unix.Close(dirfd)
		}
		if err != nil {
			return -1, err
		}
		dirfd = fd
	}
	if dirfd != w.root {
		w.fd, w.path = dirfd, path
	}
	return dirfd, nil
}

// start returns the descriptor from which to open path, and how many components lead to it: the root, or the kept
// directory if that is on the way. The directory is then not kept any more.
func (w *walker) start(path string) (dirfd, components int) {
	if w.fd >= 0 && strings.HasPrefix(path, w.path+"/") {
		dirfd, components = w.fd, 1+strings.Count(w.path, "/")
		w.fd = -1
	} else {
		dirfd = w.root
	}
	w.forget()
	return dirfd, components
}

// isMissing tells from the error of openDir whether the name is missing or only the mark of its deletion is there.
func (w *walker) isMissing(dirfd int, parts []string, err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) && w.isWhiteout(dirfd, parts)
}

// isWhiteout tells whether the last of parts, in the open directory of the others, is a whiteout under the name itself:
// a character device 0:0 or, where those cannot be made, a file with an xattr if no file beside it can have the
// whiteout's name.
func (w *walker) isWhiteout(dirfd int, parts []string) bool {
	name := parts[len(parts)-1]
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false
	}
	return isWhiteoutStat(&st) || needsXattrWhiteout(name) && isMark(w.location(dirfd, parts))
}

// needsXattrWhiteout tells whether the whiteout of a name cannot be a file with another name.
func needsXattrWhiteout(name string) bool { return len(layerfmt.WhiteoutPrefix+name) > maxComponent }

func isWhiteoutStat(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// markOpaque makes the directory hide what the layers below have in it.
func markOpaque(k keeper, dirfd int) error {
	if err := k.set(dirfd, layerfmt.OpaqueXattr, "y"); err != nil {
		return fmt.Errorf("mark directory as opaque: %w", err)
	}
	return nil
}
