package fusefs

import (
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/rcrun/rcrun/unionmount"
)

// status turns an error into the answer for the kernel; no other place does. What the errno does not say is logged,
// at the level that fits: a full disk, or a file that the caller may not read, is no fault of the server.
func (s *server) status(op string, err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) || errno == 0 {
		s.log.Error("unexpected error", "op", op, "error", err)
		return fuse.EIO
	}
	var fault *unionmount.Error
	switch errno {
	case syscall.ENOSYS:
		// To the kernel it means that the server will never know this kind of request.
		s.log.Error("system call missing", "op", op, "error", err)
		return fuse.EIO
	case syscall.EIO, syscall.ESTALE, syscall.EMFILE, syscall.ENFILE, syscall.EBADF, syscall.EFAULT, syscall.EUCLEAN:
		s.log.Error("backing file", "op", op, "error", err)
	default:
		if errors.As(err, &fault) {
			s.log.Debug("backing file", "op", op, "error", err)
		}
	}
	return fuse.Status(errno)
}
