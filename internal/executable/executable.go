// Package executable executes programs from open files. This is how processes start whose program no other process may
// write to, or whose program is on no disk: a sealed copy in memory cannot change, not even by its owner.
package executable

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Seal returns a copy of a program in memory that every user can execute and none can change.
func Seal(name string, program io.Reader) (*os.File, error) {
	fd, err := create(name)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), name)
	if _, err = io.Copy(file, program); err == nil {
		err = seal(file)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("copy %s to memory: %w", name, err)
	}
	return file, nil
}

// seal forbids every change of a file. Since Linux 6.3 it can also keep the owner from taking away the permission to
// execute.
func seal(file *os.File) error {
	_, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals|unix.F_SEAL_EXEC)
	if errors.Is(err, unix.EINVAL) {
		_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals)
	}
	return err
}

// create makes a file in memory. Linux since 6.3 must be told that the file will be executed, and may refuse that
// (vm.memfd_noexec). Older kernels do not know the flag.
func create(name string) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	return fd, err
}

// IsSealed tells whether a file is one that Seal has made.
func IsSealed(file *os.File) bool {
	has, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	return err == nil && has&seals == seals
}

// aside is the first number for a descriptor that is executed. Between fork and exec, the numbers from 0 on, and some
// of those after the last that the process has open, are used for the files of the child.
func aside() int {
	const usual, last = 256, 8 // the last numbers of a low limit
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > usual+last {
		return usual
	}
	return max(0, int(limit.Cur)-last)
}

// Open opens the file once more, as a descriptor whose Path a child can be executed from. Like other descriptors it is
// not inherited.
func Open(file *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, aside())
	if err != nil {
		return nil, fmt.Errorf("set %s aside to be executed: %w", file.Name(), err)
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}

// Path returns the path by which a child of the calling process executes what Open returned.
func Path(file *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", file.Fd()) }
