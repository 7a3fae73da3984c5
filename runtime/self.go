package runtime

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/executable"
)

// openSelf returns a file from which the binary can be executed but, through /proc/PID/exe, not written: the binary
// itself where it is sealed in memory; its own read-only mount; or where that is not possible (or of no use, as others
// may not execute the binary and the container's root may be another user) a sealed copy in memory.
func openSelf() (*os.File, error) {
	running, err := os.Open(selfExe)
	if err != nil {
		return nil, err
	}
	defer running.Close()
	if executable.IsSealed(running) {
		return executable.Open(running)
	}
	file, err := bindSelf()
	if err != nil {
		copied, copyErr := executable.Seal("rcrun", running)
		if copyErr != nil {
			return nil, errors.Join(err, copyErr)
		}
		file = copied
	}
	defer file.Close()
	return executable.Open(file)
}

const selfExe = "/proc/self/exe"

// bindSelf goes by the binary's path, since /proc/self/exe leads to a mount of the namespace in which it was opened,
// and makes sure that it is still the same file.
func bindSelf() (*os.File, error) {
	path, err := os.Readlink(selfExe)
	if err != nil {
		return nil, err
	}
	mount, err := cloneTree(unix.AT_FDCWD, path, false)
	if err != nil {
		return nil, fmt.Errorf("clone the mount of %s: %w", path, err)
	}
	file := os.NewFile(uintptr(mount), path)
	err = setAttributes(mount, unix.MOUNT_ATTR_RDONLY, 0, unix.MS_PRIVATE, false)
	if err == nil {
		err = checkSelf(file)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("mount %s read-only: %w", path, err)
	}
	return file, nil
}

// checkSelf refuses a file that is not the running binary, or cannot be executed by others.
func checkSelf(file *os.File) error {
	running, err := os.Stat(selfExe)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(running, info) {
		return errors.New("not the running binary")
	}
	if info.Mode().Perm()&0o005 != 0o005 {
		return errors.New("not executable for others")
	}
	return nil
}
