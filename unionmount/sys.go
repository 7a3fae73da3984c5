package unionmount

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

// retry calls f again while a signal interrupts it.
func retry[T any](f func() (T, error)) (T, error) { return eintr.Retry(f) }

// openat opens the entry name of dirfd, never following a symbolic link.
func openat(dirfd int, name string, flags int, perm uint32) (int, error) {
	return beneath.Open(dirfd, name, flags, perm)
}

// reopen opens the file behind fd once more.
func reopen(fd int, flags int) (int, error) {
	return retry(func() (int, error) {
		return unix.Open(beneath.ProcPath(fd), flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	})
}

// statAt is lstat(2) of an entry of dirfd.
func statAt(dirfd int, name string) (unix.Stat_t, error) { return beneath.Stat(dirfd, name) }

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
	if !errors.Is(err, unix.EACCES) {
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
	if err := beneath.Chmod(fd, st.Mode&0o7777|needed); err != nil {
		return err
	}
	err = f()
	if now, statErr := statFD(fd); statErr != nil || now.Mode != st.Mode|needed {
		return errors.Join(err, statErr) // somebody else gave it a mode meanwhile
	}
	return errors.Join(err, beneath.Chmod(fd, st.Mode&0o7777))
}
