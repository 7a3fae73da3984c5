package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// openSelf returns a file from which the binary can be executed but, through /proc/PID/exe, not written: its own
// read-only mount, or where that is not possible (or of no use, as others may not execute the binary and the
// container's root may be another user) a sealed copy in memory.
func openSelf() (*os.File, error) {
	file, bindErr := bindSelf()
	if bindErr == nil {
		return file, nil
	}
	file, err := copySelf()
	if err != nil {
		return nil, errors.Join(bindErr, err)
	}
	return file, nil
}

const selfExe = "/proc/self/exe"

func bindSelf() (*os.File, error) {
	mount, err := cloneTree(unix.AT_FDCWD, selfExe, false)
	if err != nil {
		return nil, fmt.Errorf("clone the mount of %s: %w", selfExe, err)
	}
	file := os.NewFile(uintptr(mount), "self")
	if err := setAttributes(mount, unix.MOUNT_ATTR_RDONLY, 0, unix.MS_PRIVATE, false); err != nil {
		file.Close()
		return nil, fmt.Errorf("make the mount of %s read-only: %w", selfExe, err)
	}
	info, err := file.Stat()
	if err == nil && info.Mode().Perm()&0o005 != 0o005 {
		err = fmt.Errorf("%s is not executable for others", selfExe)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func copySelf() (*os.File, error) {
	source, err := os.Open(selfExe)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	fd, err := unix.MemfdCreate("rcrun", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "self")
	if _, err = io.Copy(file, source); err == nil {
		seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("copy %s: %w", selfExe, err)
	}
	return file, nil
}

// selfPath is how the calling process executes what openSelf returned.
func selfPath(self *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", self.Fd()) }
