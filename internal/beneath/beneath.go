// Package beneath works on directories whose content others may be changing, an enemy among them: by descriptors, one
// step from a directory to an entry at a time, and never through a symbolic link.
//
// Decisions, and their reasons:
//
//   - Each system call that gets a path resolves it again. A process that can exchange a directory on the way for a
//     link leads the second of two calls elsewhere. A descriptor stays what it is.
//   - A name is looked up in a descriptor with O_NOFOLLOW or AT_SYMLINK_NOFOLLOW. A link is so either the file that is
//     examined, or an error.
//   - Only a path of several components, below a directory, needs openat2(2), with RESOLVE_BENEATH and
//     RESOLVE_NO_SYMLINKS. It is cut into pieces that the kernel takes.
//   - A tree can be deeper than a process may have descriptors. A [Pool] keeps few of them, and comes back to a
//     directory that it has closed by the name ".." in one below it. A container can have moved that one meanwhile, so
//     the directory must then be the same one: the device and the inode number tell. If it is not, the walk goes down
//     again from the root.
package beneath

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

// maxPath is how much of a path is given to one system call.
const maxPath = unix.PathMax - 1

// resolveBeneath keeps a walk inside its tree and its mount.
const resolveBeneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS |
	unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// ProcPath names the file that fd refers to. Only through it can a descriptor opened with O_PATH be used for the system
// calls that take no such descriptor, and it takes several times as long, so that others are tried directly first.
func ProcPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// procPathAt names an entry of the directory dirfd, which may be the working directory, for l*xattr(2).
func procPathAt(dirfd int, name string) string {
	if dirfd == unix.AT_FDCWD {
		return name
	}
	return ProcPath(dirfd) + "/" + name
}

// orByPath returns err, of a system call with fd; where that was refused because fd is O_PATH, it does the same by
// path.
func orByPath(err error, fd int, do func(path string) error) error {
	if err == unix.EBADF {
		return do(ProcPath(fd))
	}
	return err
}

// Chmod is fchmod(2) for a descriptor that may be O_PATH.
func Chmod(fd int, mode uint32) error {
	return orByPath(unix.Fchmod(fd, mode), fd, func(path string) error { return unix.Chmod(path, mode) })
}

// Open opens the entry name of dirfd, never following a symbolic link.
func Open(dirfd int, name string, flags int, perm uint32) (int, error) {
	return eintr.Retry(func() (int, error) {
		return unix.Openat(dirfd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NOCTTY, perm)
	})
}

// OpenPath opens a path of any length below root, in the same mount and without following links. The empty path
// is root itself. It does not wait for the other end of a fifo.
func OpenPath(root int, path string, flags int) (int, error) {
	if path == "" {
		path = "."
	}
	if len(path) > maxPath {
		return openLong(root, path, flags)
	}
	if flags&unix.O_PATH == 0 { // with which openat2 accepts no others
		flags |= unix.O_NOCTTY | unix.O_NONBLOCK
	}
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW), Resolve: resolveBeneath}
	return Openat2(root, path, how)
}

// Openat2 is openat2(2) until it is disturbed neither by a signal nor by a rename anywhere, which the kernel reports as
// EAGAIN where it cannot tell whether the path is concerned.
func Openat2(dirfd int, path string, how *unix.OpenHow) (int, error) {
	for {
		fd, err := unix.Openat2(dirfd, path, how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

func openLong(root int, path string, flags int) (int, error) {
	cut := strings.LastIndexByte(path[:maxPath], '/')
	if cut <= 0 {
		return -1, unix.ENAMETOOLONG
	}
	dir, err := OpenPath(root, path[:cut], unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	return OpenPath(dir, path[cut+1:], flags)
}

// Stat is lstat(2) of an entry of dirfd.
func Stat(dirfd int, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
	return st, err
}

// Readlink reads the target of the symbolic link name in dirfd, or of dirfd itself when name is empty.
func Readlink(dirfd int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dirfd, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
