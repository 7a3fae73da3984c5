// Package beneath works on directories that other processes, hostile ones included, may change at the same time. It
// uses descriptors, goes from a directory to an entry one step at a time, and never follows a symbolic link.
//
// # Decisions and rationale
//
//   - Each system call that gets a path resolves it again. A process that can replace a directory on the way by a link
//     leads the second of two calls elsewhere. A descriptor always refers to the same file.
//   - A name is looked up in a descriptor with O_NOFOLLOW or AT_SYMLINK_NOFOLLOW. So a link is either the file that is
//     examined, or an error.
//   - Only a path of several components below a directory needs openat2(2), with RESOLVE_BENEATH and
//     RESOLVE_NO_SYMLINKS. It is cut into pieces that the kernel takes.
//   - A tree can be deeper than a process may have descriptors. A [Pool] keeps few of them. It returns to a directory
//     that it has closed by the name ".." in a directory below. A container can have moved the latter meanwhile, so
//     device and inode number must show that it is the same directory. If it is not, the walk goes down again from the
//     root.
package beneath

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

// maxPath is the longest part of a path that is given to one system call.
const maxPath = unix.PathMax - 1

// resolveBeneath keeps a walk inside its tree and its mount.
const resolveBeneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS |
	unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// ProcPath names the file that fd refers to. Some system calls take no O_PATH descriptor and need this path. It takes
// several times as long, so the calls on the descriptor are tried first.
func ProcPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// procPathAt names an entry of the directory dirfd, which may be the working directory, for l*xattr(2).
func procPathAt(dirfd int, name string) string {
	if dirfd == unix.AT_FDCWD {
		return name
	}
	return ProcPath(dirfd) + "/" + name
}

// orByPath returns err, the result of a system call on fd. If the kernel refused the call because fd is O_PATH,
// orByPath makes it again by path.
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

// OpenPath opens a path of any length below root, in the same mount and without following links. The empty path is root
// itself. It does not wait for the other end of a fifo.
func OpenPath(root int, path string, flags int) (int, error) {
	if path == "" {
		path = "."
	}
	if len(path) > maxPath {
		return openLong(root, path, flags)
	}
	if flags&unix.O_PATH == 0 { // openat2 accepts no further flags with it
		flags |= unix.O_NOCTTY | unix.O_NONBLOCK
	}
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW), Resolve: resolveBeneath}
	return Openat2(root, path, how)
}

// Openat2 is openat2(2), repeated while a signal interrupts it, or a rename anywhere: the kernel then returns EAGAIN
// where it cannot tell whether the rename concerns the path.
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
