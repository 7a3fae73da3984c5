package beneath

import (
	"bytes"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// File is a file whose xattrs are read: the entry Name of the directory behind FD, without following links, or, if Name
// is empty, the file behind FD itself, which may be O_PATH.
type File struct {
	FD   int
	Name string
}

// hasXattrAt tells whether the kernel (since 6.13) reads xattrs relative to a directory. Otherwise they are read
// through /proc, which takes four times as long.
var hasXattrAt = sync.OnceValue(func() bool {
	_, err := listXattrAt(unix.AT_FDCWD, "/", nil)
	return err != unix.ENOSYS && err != unix.EPERM // some seccomp filters answer EPERM
})

// Xattr returns the value of an xattr.
func (f File) Xattr(attr string) ([]byte, error) {
	buf := make([]byte, 256)
	for {
		n, err := f.get(attr, buf)
		if err == nil {
			return buf[:n], nil
		}
		if err != unix.ERANGE {
			return nil, err
		}
		if n, err = f.get(attr, nil); err != nil {
			return nil, err
		}
		buf = make([]byte, n+64)
	}
}

func (f File) get(attr string, buf []byte) (int, error) {
	switch {
	case f.Name == "":
		n, err := unix.Fgetxattr(f.FD, attr, buf)
		err = orByPath(err, f.FD, func(path string) (err error) { n, err = unix.Getxattr(path, attr, buf); return err })
		return n, err
	case hasXattrAt():
		return getXattrAt(f.FD, f.Name, attr, buf)
	}
	return unix.Lgetxattr(procPathAt(f.FD, f.Name), attr, buf)
}

// Xattrs returns the names of all xattrs; none if the filesystem has no xattrs.
func (f File) Xattrs() ([]string, error) {
	var most [512]byte
	buf := most[:]
	n, err := f.list(buf)
	for err == unix.ERANGE {
		if n, err = f.list(nil); err == nil {
			buf = make([]byte, n+64)
			n, err = f.list(buf)
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

func (f File) list(buf []byte) (int, error) {
	switch {
	case f.Name == "":
		n, err := unix.Flistxattr(f.FD, buf)
		err = orByPath(err, f.FD, func(path string) (err error) { n, err = unix.Listxattr(path, buf); return err })
		return n, err
	case hasXattrAt():
		return listXattrAt(f.FD, f.Name, buf)
	}
	return unix.Llistxattr(procPathAt(f.FD, f.Name), buf)
}

// SetXattr is fsetxattr(2) for a descriptor that may be O_PATH.
func SetXattr(fd int, name, value string, flags int) error {
	err := unix.Fsetxattr(fd, name, []byte(value), flags)
	return orByPath(err, fd, func(path string) error { return unix.Setxattr(path, name, []byte(value), flags) })
}

// RemoveXattr is fremovexattr(2) for a descriptor that may be O_PATH.
func RemoveXattr(fd int, name string) error {
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

// getXattrAt is getxattrat(2) without following links.
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
	n, _, errno := unix.Syscall6(unix.SYS_GETXATTRAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)),
		unix.AT_SYMLINK_NOFOLLOW,
		uintptr(unsafe.Pointer(what)), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// listXattrAt is listxattrat(2) without following links.
func listXattrAt(dirfd int, name string, buf []byte) (int, error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	n, _, errno := unix.Syscall6(unix.SYS_LISTXATTRAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)),
		unix.AT_SYMLINK_NOFOLLOW,
		uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
