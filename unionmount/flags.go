package unionmount

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// flagIoctl returns the size of the value of an ioctl by which the flags of lsattr(1) and chattr(1) are read or set, or
// of the one that the kernel reads besides before it lets them be set; 0 of any other. There is none to set what that
// reads: a project id would take a file out of the host's quota.
func flagIoctl(request uint32) (size int, sets bool) {
	switch request {
	case unix.FS_IOC_GETFLAGS:
		return 4, false
	case unix.FS_IOC_SETFLAGS:
		return 4, true
	case fsGetXattr:
		return 28, false
	}
	return 0, false
}

// fsGetXattr is FS_IOC_FSGETXATTR of most architectures; on the others no request has this number, and flags cannot be
// set.
const fsGetXattr = 0x801c581f

// flagAppend is FS_APPEND_FL: the file can only be appended to.
const flagAppend = 0x20

// Ioctl does an ioctl(2) on the flags of a regular file or directory: it reads into value those of the file that shows,
// or sets those of the file in the upper. A copy-up does not keep them. All others are ENOTTY; and EOPNOTSUPP is to let
// files only be appended to, because who may open and remove them then is the kernel's to check, which is not told.
func (u *Union) Ioctl(n *Node, request uint32, value []byte) error {
	size, sets := flagIoctl(request)
	if size == 0 || len(value) < size {
		return unix.ENOTTY
	}
	if sets && binary.NativeEndian.Uint32(value)&flagAppend != 0 {
		return unix.EOPNOTSUPP
	}
	if sets {
		if err := u.copyUp(n, contentBelow); err != nil {
			return err
		}
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	return n.fault("read or set flags of", u.withOpen(n, func(fd int) error { return ioctl(fd, request, value) }))
}

func ioctl(fd int, request uint32, value []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&value[0])))
	if errno != 0 {
		return errno
	}
	return nil
}

// withOpen calls do with the backing file of n that shows, open for reading. Meta of n is held.
func (u *Union) withOpen(n *Node, do func(fd int) error) error {
	if n.kind != unix.S_IFREG && n.kind != unix.S_IFDIR || n.foreign != nil && !n.inUpper.Load() {
		return unix.ENOTTY
	}
	h, err := u.backing(n, n.firstSlot())
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	fd, err := reopen(h.fd, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return do(fd)
}
