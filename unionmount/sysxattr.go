package unionmount

import (
	"bytes"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// xattrSource is a file whose xattrs are read: the entry name of the directory behind fd, links not followed, or, with
// an empty name, the file behind fd itself, which may be O_PATH.
type xattrSource struct {
	fd   int
	name string
}

// hasXattrAt tells whether the kernel (since 6.13) reads xattrs relative to a directory. Before, the way leads through
// /proc, which takes four times as long.
var hasXattrAt = sync.OnceValue(func() bool {
	_, err := listXattrAt(unix.AT_FDCWD, "/", nil)
	return err != unix.ENOSYS && err != unix.EPERM // the latter is what some seccomp filters answer
})

// read returns the value of an xattr.
func (x xattrSource) read(attr string) ([]byte, error) {
	buf := make([]byte, 256)
	for {
		n, err := x.get(attr, buf)
		if err == nil {
			return buf[:n], nil
		}
		if err != unix.ERANGE {
			return nil, err
		}
		if n, err = x.get(attr, nil); err != nil {
			return nil, err
		}
		buf = make([]byte, n+64)
	}
}

func (x xattrSource) get(attr string, buf []byte) (int, error) {
	switch {
	case x.name == "":
		n, err := unix.Fgetxattr(x.fd, attr, buf)
		err = orByPath(err, x.fd, func(path string) (err error) { n, err = unix.Getxattr(path, attr, buf); return err })
		return n, err
	case hasXattrAt():
		return getXattrAt(x.fd, x.name, attr, buf)
	}
	return unix.Lgetxattr(procPathAt(x.fd, x.name), attr, buf)
}

// list returns the names of all xattrs, none where the filesystem keeps none.
func (x xattrSource) list() ([]string, error) {
	var most [512]byte
	buf := most[:]
	n, err := x.listInto(buf)
	for err == unix.ERANGE {
		if n, err = x.listInto(nil); err == nil {
			buf = make([]byte, n+64)
			n, err = x.listInto(buf)
		}
	}
	if err == unix.EOPNOTSUPP {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return splitNames(buf[:n]), nil
}

func (x xattrSource) listInto(buf []byte) (int, error) {
	switch {
	case x.name == "":
		n, err := unix.Flistxattr(x.fd, buf)
		err = orByPath(err, x.fd, func(path string) (err error) { n, err = unix.Listxattr(path, buf); return err })
		return n, err
	case hasXattrAt():
		return listXattrAt(x.fd, x.name, buf)
	}
	return unix.Llistxattr(procPathAt(x.fd, x.name), buf)
}

// setXattrFD is fsetxattr(2) for a descriptor that may be O_PATH.
func setXattrFD(fd int, name, value string, flags int) error {
	err := unix.Fsetxattr(fd, name, []byte(value), flags)
	return orByPath(err, fd, func(path string) error { return unix.Setxattr(path, name, []byte(value), flags) })
}

// removeXattrFD is fremovexattr(2) for a descriptor that may be O_PATH.
func removeXattrFD(fd int, name string) error {
	err := unix.Fremovexattr(fd, name)
	return orByPath(err, fd, func(path string) error { return unix.Removexattr(path, name) })
}

func splitNames(list []byte) []string {
	var names []string
	for len(list) > 0 {
		name, rest, _ := bytes.Cut(list, []byte{0})
		if len(name) > 0 {
			names = append(names, string(name))
		}
		list = rest
	}
	return names
}

// getXattrAt is getxattrat(2), links not followed.
func getXattrAt(dirfd int, name, attr string, buf []byte) (int, error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	what, err := unix.BytePtrFromString(attr)
	if err != nil {
		return 0, err
	}
	args := struct { // struct xattr_args
		value unsafe.Pointer
		size  uint32
		flags uint32
	}{value: unsafe.Pointer(unsafe.SliceData(buf)), size: uint32(len(buf))}
	n, _, errno := unix.Syscall6(unix.SYS_GETXATTRAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)), unix.AT_SYMLINK_NOFOLLOW,
		uintptr(unsafe.Pointer(what)), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// listXattrAt is listxattrat(2), links not followed.
func listXattrAt(dirfd int, name string, buf []byte) (int, error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	n, _, errno := unix.Syscall6(unix.SYS_LISTXATTRAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)), unix.AT_SYMLINK_NOFOLLOW,
		uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
