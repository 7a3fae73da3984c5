package runtime

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/executable"
)

// protectedArg tells a stage that it is executed from a file that nobody can write to.
const protectedArg = "protected"

// protectSelf has the stage executed from a file that nobody can write to, if it is not. What enters the container is
// forked from the stage; until it executes the payload, /proc/self/exe is the stage's binary, and a payload of that name
// is executed from it (CVE-2019-5736). It returns if there is nothing to do or something fails.
func protectSelf() error {
	if len(os.Args) > 1 && os.Args[1] == protectedArg {
		return nil
	}
	running, err := os.Open(selfExe)
	if err != nil {
		return err
	}
	defer running.Close()
	if executable.IsSealed(running) {
		return nil
	}
	file, err := openSelf(running)
	if err != nil {
		return fmt.Errorf("protect the binary: %w", err)
	}
	return os.NewSyscallError("execve", syscall.Exec(executable.Path(file), []string{os.Args[0], protectedArg}, os.Environ()))
}

// openSelf returns a file from which the binary can be executed but, through /proc/PID/exe, not written: its own
// read-only mount; or where that is not possible (or of no use, as others may not execute the binary and the
// container's root may be another user) a sealed copy in memory.
func openSelf(running *os.File) (*os.File, error) {
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
