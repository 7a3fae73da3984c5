package runtime

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// mask hides what is at the given paths: a directory behind an empty read-only directory, all else behind the null
// device. Paths that do not exist need no mask.
func (m *mounter) mask(paths []string) error {
	for _, p := range paths {
		if err := m.over(p, hidden); err != nil {
			return wire.Errorf(stageInit, "mask", p, err)
		}
	}
	return nil
}

// protect makes what is at the given paths read-only.
func (m *mounter) protect(paths []string) error {
	for _, p := range paths {
		if err := m.over(p, readOnly); err != nil {
			return wire.Errorf(stageInit, "make read-only", p, err)
		}
	}
	return nil
}

// over attaches to p the mount that cover makes for it.
func (m *mounter) over(p string, cover func(target int) (int, error)) error {
	target, err := m.root.open(p)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	mount, err := cover(target)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return attach(mount, target)
}

func hidden(target int) (int, error) {
	directory, err := isDir(target)
	if err != nil {
		return -1, err
	}
	if directory {
		const attrs = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
		return newMount("tmpfs", "tmpfs", attrs, []string{"nr_inodes=1", "size=4k"})
	}
	return cloneTree(unix.AT_FDCWD, "/dev/null", false)
}

func readOnly(target int) (int, error) {
	mount, err := cloneTree(target, "", true)
	if err != nil {
		return -1, err
	}
	if err := setAttributes(mount, unix.MOUNT_ATTR_RDONLY, 0, unix.MS_PRIVATE, true); err != nil {
		unix.Close(mount)
		return -1, err
	}
	return mount, nil
}
