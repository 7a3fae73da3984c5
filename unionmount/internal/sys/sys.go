package sys

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/eintr"
)

// ReadUmask returns the umask of the process without changing it, which no system call does.
func ReadUmask() (uint32, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nUmask:\t")
	digits, _, _ := strings.Cut(rest, "\n")
	umask, err := strconv.ParseUint(digits, 8, 32)
	return uint32(umask), err
}

// Reopen opens the file behind fd once more.
func Reopen(fd int, flags int) (int, error) {
	return eintr.Retry(func() (int, error) {
		return unix.Open(beneath.ProcPath(fd), flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	})
}

// StatMount is lstat(2) of an entry of dirfd that also returns the id of its mount (0 before Linux 5.8). It does not
// wait for the server of a filesystem, so the attributes of an entry in another mount may be out of date.
func StatMount(dirfd int, name string) (st unix.Stat_t, mount uint64, err error) {
	var x unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	if err := unix.Statx(dirfd, name, flags, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &x); err != nil {
		return st, 0, err
	}
	st = unix.Stat_t{Dev: unix.Mkdev(x.Dev_major, x.Dev_minor), Ino: x.Ino, Mode: uint32(x.Mode), Uid: x.Uid,
		Gid: x.Gid, Rdev: unix.Mkdev(x.Rdev_major, x.Rdev_minor), Size: int64(x.Size), Blocks: int64(x.Blocks),
		Atim: timespec(x.Atime), Mtim: timespec(x.Mtime), Ctim: timespec(x.Ctime)}
	Assign(&st.Nlink, x.Nlink)
	Assign(&st.Blksize, x.Blksize)
	if x.Mask&unix.STATX_MNT_ID != 0 {
		mount = x.Mnt_id
	}
	return st, mount, nil
}

// Assign sets a field whose type differs among architectures.
func Assign[T uint64 | uint32 | int64 | int32](to *T, value uint32) { *to = T(value) }

func timespec(t unix.StatxTimestamp) unix.Timespec {
	return unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
}

// Stat is fstat(2).
func Stat(fd int) (st unix.Stat_t, err error) {
	err = unix.Fstat(fd, &st)
	return st, err
}

// SetTimes sets the access and modification times of the file behind fd, which may be O_PATH and a link.
func SetTimes(fd int, atime, mtime unix.Timespec) error {
	ts := [2]unix.Timespec{atime, mtime}
	var emptyPath byte
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), uintptr(unsafe.Pointer(&emptyPath)),
		uintptr(unsafe.Pointer(&ts)), unix.AT_EMPTY_PATH, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// SetXattr sets an xattr of the file behind fd, which may be O_PATH.
func SetXattr(fd int, name, value string, flags int) error {
	return Owning(fd, func() error { return beneath.SetXattr(fd, name, value, flags) })
}

// Owning calls f. If the permissions of the file behind fd forbid what f does, it calls f again with more permissive
// ones: the permissions are for the caller in the container, and the kernel has checked them.
func Owning(fd int, f func() error) error {
	err := f()
	if !errors.Is(err, unix.EACCES) {
		return err
	}
	return WithOwnerAccess(fd, f)
}

// WithOwnerAccess calls f while the owner of the file behind fd may read and write it, and search a directory.
func WithOwnerAccess(fd int, f func() error) error {
	st, err := Stat(fd)
	if err != nil {
		return err
	}
	needed := uint32(0o600)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		needed = 0o700
	}
	if err := beneath.Chmod(fd, st.Mode&0o7777|needed); err != nil {
		return err
	}
	err = f()
	if now, statErr := Stat(fd); statErr != nil || now.Mode != st.Mode|needed {
		return errors.Join(err, statErr) // another process has set the mode meanwhile
	}
	return errors.Join(err, beneath.Chmod(fd, st.Mode&0o7777))
}

// OpenQuietly opens an entry of dirfd so that reading it does not set its access time, if the process may do that.
func OpenQuietly(dirfd int, name string, flags int) (int, error) {
	fd, err := beneath.Open(dirfd, name, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) { // O_NOATIME is for the file's owner
		fd, err = beneath.Open(dirfd, name, flags, 0)
	}
	return fd, err
}

// BirthOf returns when the file behind fd was made, or zero if its filesystem does not know.
func BirthOf(fd int) (unix.Timespec, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return unix.Timespec{}, err
	}
	return timespec(st.Btime), nil
}
