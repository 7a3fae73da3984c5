package runtime

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// newMount makes a filesystem and returns its mount, which is not attached yet. Options are "key" or "key=value".
func newMount(fstype, source string, attrs uint64, options []string) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	return configureMount(fs, source, attrs, options)
}

// configureMount makes the filesystem that fs is the configuration of, and closes fs.
func configureMount(fs int, source string, attrs uint64, options []string) (int, error) {
	defer unix.Close(fs)
	if source != "" {
		if err := unix.FsconfigSetString(fs, "source", source); err != nil {
			return -1, explain(fs, err)
		}
	}
	for _, option := range options {
		if err := configure(fs, option); err != nil {
			return -1, fmt.Errorf("option %s: %w", option, explain(fs, err))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, explain(fs, err)
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(attrs))
}

func configure(fs int, option string) error {
	if key, value, ok := strings.Cut(option, "="); ok {
		return unix.FsconfigSetString(fs, key, value)
	}
	return unix.FsconfigSetFlag(fs, option)
}

// explain adds what the kernel logged about a refused configuration.
func explain(fs int, err error) error {
	buf := make([]byte, 512)
	n, readErr := unix.Read(fs, buf)
	if readErr != nil || n <= 2 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.TrimSpace(string(buf[2:n]))) // without the level in "e tmpfs: ..."
}

// cloneTree returns a copy, not attached yet, of what is mounted at path as seen from dirfd.
func cloneTree(dirfd int, path string, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return unix.OpenTree(dirfd, path, flags)
}

// setAttributes changes the attributes and propagation of a mount, and of those below it.
func setAttributes(mount int, set, clear, propagation uint64, recursive bool) error {
	if set == 0 && clear == 0 && propagation == 0 {
		return nil
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: set, Attr_clr: clear, Propagation: propagation}
	return unix.MountSetattr(mount, "", flags, &attr)
}

// attach puts a mount on top of what the O_PATH descriptor target names.
func attach(mount, target int) error {
	return unix.MoveMount(mount, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// refused tells whether the kernel denied a mount to this user, rather than misunderstood it.
func refused(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }
