package runtime

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/executable"
)

// protectedArg tells a stage that it is executed from a file that no process can write to.
const protectedArg = "protected"

// protectSelf executes the stage again from a file that no process can write to, unless it already is. What enters the
// container is forked from the stage. Until it executes the payload, /proc/self/exe is the stage's binary, and a
// payload of that name is executed from it (CVE-2019-5736). protectSelf returns if there is nothing to do or if
// something fails.
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
	err = syscall.Exec(executable.Path(file), []string{os.Args[0], protectedArg}, os.Environ())
	return os.NewSyscallError("execve", err)
}

// openSelf returns a file from which the binary can be executed but that cannot be written through /proc/PID/exe. It is
// a read-only mount of the binary, or a sealed copy in memory where that mount is not possible, or of no use because
// other users may not execute the binary and the container's root may be another user.
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

// bindSelf uses the binary's path, because /proc/self/exe leads to a mount of the namespace in which it was opened, and
// makes sure that the path still leads to the same file.
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

// checkSelf refuses a file that is not the running binary, or that other users cannot execute.
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
