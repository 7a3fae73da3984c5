package unionmount

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPath is how much of a path is given to one system call.
const maxPath = unix.PathMax - 1

// resolveBeneath keeps a walk inside its tree and its mount.
const resolveBeneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// retry calls f again while a signal interrupts it.
func retry[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		if err != unix.EINTR {
			return v, err
		}
	}
}

// procPath names the file that fd refers to. Only through it can a descriptor opened with O_PATH be used for the
// system calls that take no such descriptor, and it takes several times as long, so that others are tried directly first.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// orByPath returns err, of a system call with fd; where that was refused because fd is O_PATH, it does the same by path.
func orByPath(err error, fd int, do func(path string) error) error {
	if err == unix.EBADF {
		return do(procPath(fd))
	}
	return err
}

// chmodFD is fchmod(2) for a descriptor that may be O_PATH.
func chmodFD(fd int, mode uint32) error {
	return orByPath(unix.Fchmod(fd, mode), fd, func(path string) error { return unix.Chmod(path, mode) })
}

// procPathAt names an entry of the directory dirfd, for l*xattr(2).
func procPathAt(dirfd int, name string) string { return procPath(dirfd) + "/" + name }

// readUmask returns the umask of the process without changing it, for which there is no system call.
func readUmask() (uint32, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nUmask:\t")
	digits, _, _ := strings.Cut(rest, "\n")
	umask, err := strconv.ParseUint(digits, 8, 32)
	return uint32(umask), err
}

// openat opens the entry name of dirfd, never following a symbolic link.
func openat(dirfd int, name string, flags int, perm uint32) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(dirfd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NOCTTY, perm)
	})
}

// reopen opens the file behind fd once more.
func reopen(fd int, flags int) (int, error) {
	return retry(func() (int, error) {
		return unix.Open(procPath(fd), flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	})
}

// openBeneath opens a path of any length below root, in the same mount and without following links. The empty path
// is root itself. It does not wait for the other end of a fifo.
func openBeneath(root int, path string, flags int) (int, error) {
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
	for {
		fd, err := unix.Openat2(root, path, how)
		// EAGAIN: a rename happened somewhere while the kernel walked, and it could not tell whether it concerned us.
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
	dir, err := openBeneath(root, path[:cut], unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	return openBeneath(dir, path[cut+1:], flags)
}

// statAt is lstat(2) of an entry of dirfd.
func statAt(dirfd int, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
	return st, err
}

// statMount is lstat(2) of an entry of dirfd that tells the mount it is in, too (0 before Linux 5.8), and that waits for
// no filesystem's server: what it says of an entry in another mount may be out of date.
func statMount(dirfd int, name string) (st unix.Stat_t, mount uint64, err error) {
	var x unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	if err := unix.Statx(dirfd, name, flags, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &x); err != nil {
		return st, 0, err
	}
	st = unix.Stat_t{Dev: unix.Mkdev(x.Dev_major, x.Dev_minor), Ino: x.Ino, Mode: uint32(x.Mode), Uid: x.Uid, Gid: x.Gid,
		Rdev: unix.Mkdev(x.Rdev_major, x.Rdev_minor), Size: int64(x.Size), Blocks: int64(x.Blocks),
		Atim: timespec(x.Atime), Mtim: timespec(x.Mtime), Ctim: timespec(x.Ctime)}
	assign(&st.Nlink, x.Nlink)
	assign(&st.Blksize, x.Blksize)
	if x.Mask&unix.STATX_MNT_ID != 0 {
		mount = x.Mnt_id
	}
	return st, mount, nil
}

// assign sets a field whose type differs among architectures.
func assign[T uint64 | uint32 | int64 | int32](to *T, value uint32) { *to = T(value) }

func timespec(t unix.StatxTimestamp) unix.Timespec {
	return unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
}

func statFD(fd int) (st unix.Stat_t, err error) {
	err = unix.Fstat(fd, &st)
	return st, err
}

// readLinkAt reads the target of the symbolic link name in dirfd, or of dirfd itself when name is empty.
func readLinkAt(dirfd int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dirfd, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// setTimes sets the access and modification times of the file behind fd, which may be O_PATH and a link.
func setTimes(fd int, atime, mtime unix.Timespec) error {
	ts := [2]unix.Timespec{atime, mtime}
	var emptyPath byte
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), uintptr(unsafe.Pointer(&emptyPath)),
		uintptr(unsafe.Pointer(&ts)), unix.AT_EMPTY_PATH, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setXattr sets an xattr of the file behind fd, which may be O_PATH.
func setXattr(fd int, name, value string) error { return diskXattrs{}.set(fd, name, value, 0) }

// owning calls f, and where the permissions of the file behind fd forbid what f does, again while they do not: they are
// about those who asked for it, and were checked.
func owning(fd int, f func() error) error {
	err := f()
	if err != unix.EACCES {
		return err
	}
	return withOwnerAccess(fd, f)
}

// withOwnerAccess calls f while the owner of the file behind fd may read and write it, and search a directory.
func withOwnerAccess(fd int, f func() error) error {
	st, err := statFD(fd)
	if err != nil {
		return err
	}
	needed := uint32(0o600)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		needed = 0o700
	}
	if err := chmodFD(fd, st.Mode&0o7777|needed); err != nil {
		return err
	}
	err = f()
	if now, statErr := statFD(fd); statErr != nil || now.Mode != st.Mode|needed {
		return errors.Join(err, statErr) // somebody else gave it a mode meanwhile
	}
	return errors.Join(err, chmodFD(fd, st.Mode&0o7777))
}

// dirEntry is one record of getdents64(2).
type dirEntry struct {
	name string
	ino  uint64
	typ  uint8 // DT_*
}

// readDir calls f with every entry of the directory behind fd, which must be at its start, but "." and "..".
func readDir(fd int, f func(dirEntry)) error {
	var buf [16 << 10]byte // small enough for the stack, where it costs nothing
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, buf[:]) })
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		parseDirents(buf[:n], f)
	}
}

// parseDirents reads linux_dirent64 records: ino(8) off(8) reclen(2) type(1) name, zero-terminated.
func parseDirents(buf []byte, f func(dirEntry)) {
	const header = 19
	for len(buf) > header {
		reclen := int(*(*uint16)(unsafe.Pointer(&buf[16])))
		if reclen <= header || reclen > len(buf) {
			return
		}
		name, _, _ := bytes.Cut(buf[header:reclen], []byte{0})
		if s := string(name); s != "." && s != ".." {
			f(dirEntry{name: s, ino: *(*uint64)(unsafe.Pointer(&buf[0])), typ: buf[18]})
		}
		buf = buf[reclen:]
	}
}
