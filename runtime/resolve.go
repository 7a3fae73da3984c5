package runtime

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
)

// root is a container's root directory as seen from outside. The paths given to its methods are the container's: no
// symbolic link leads out, and no magic link of proc is followed at all.
type root struct {
	dir *os.File // O_PATH
}

// maxLinks bounds how many dangling symbolic links mountPoint follows, as the kernel bounds the others.
const maxLinks = 40

// openRoot opens the mounted root, which is the working directory.
func openRoot() (root, error) {
	fd, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return root{}, err
	}
	return root{os.NewFile(uintptr(fd), "/")}, nil
}

func (r root) fd() int { return int(r.dir.Fd()) }

// open returns an O_PATH descriptor of what p names.
func (r root) open(p string) (int, error) { return openWithin(r.fd(), p, unix.O_PATH) }

// openWithin opens p as if dirfd were the root directory.
func openWithin(dirfd int, p string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	return beneath.Openat2(dirfd, p, &how)
}

// mountPoint returns an O_PATH descriptor of p. Where p is missing, it makes a directory or an empty file.
func (r root) mountPoint(p string, isDir bool) (int, error) {
	return r.makePoint(path.Clean("/"+p), isDir, maxLinks)
}

func (r root) makePoint(p string, isDir bool, links int) (int, error) {
	fd, err := r.open(p)
	if err != unix.ENOENT {
		return fd, err
	}
	parent, err := r.makePoint(path.Dir(p), true, links)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	name := path.Base(p)
	err = makeEntry(parent, name, isDir)
	if err == unix.EEXIST {
		return r.throughDangling(parent, p, isDir, links)
	}
	if err != nil {
		return -1, err
	}
	return unix.Openat(parent, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// throughDangling makes the mount point that the symbolic link p, an entry of parent, leads to.
func (r root) throughDangling(parent int, p string, isDir bool, links int) (int, error) {
	if links == 0 {
		return -1, unix.ELOOP
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(parent, path.Base(p), buf)
	if err != nil {
		return -1, err
	}
	target := string(buf[:n])
	if !strings.HasPrefix(target, "/") {
		target = path.Join(path.Dir(p), target)
	}
	return r.makePoint(path.Clean(target), isDir, links-1)
}

func makeEntry(parent int, name string, isDir bool) error {
	if isDir {
		return unix.Mkdirat(parent, name, 0o755)
	}
	fd, err := unix.Openat(parent, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// isDir tells whether an open descriptor is a directory's.
func isDir(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// missing tells whether a path could not be opened because there is nothing of that name.
func missing(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }
