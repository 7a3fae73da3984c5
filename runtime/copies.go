package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// CopyMount is a type of mount besides those of filesystems: what the container has at the destination is a copy of the
// host's file at the source. Copies belong to user 0 and are in memory, where the container may add copyRoom bytes to
// all of them together. A host file that is bound instead could be filled beyond any limit of the root.
const CopyMount = "copy"

const copyRoom = 1 << 20

// source opens what a mount takes from a path of the host: a copy of the mount tree there, or the file to be copied.
func source(mount specs.Mount) (*os.File, error) {
	if !filepath.IsAbs(mount.Source) {
		return nil, errors.New("not an absolute path")
	}
	if mount.Type == CopyMount {
		return os.Open(mount.Source)
	}
	fd, err := cloneTree(unix.AT_FDCWD, mount.Source, parseMountOptions(mount).recursive)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), mount.Source), nil
}

// makeCopies replaces the files to be copied, among the sources of the mounts, by mounts of their copies. The copies
// are on one tmpfs. Only an attached mount can be cloned, so the tmpfs is attached on top of the root for that time.
func (m *mounter) makeCopies(mounts []specs.Mount) error {
	copied := map[int]string{} // index of a source -> path of the source
	size, next := int64(copyRoom), 0
	for _, mount := range mounts {
		if !isBind(mount) {
			continue
		}
		if mount.Type == CopyMount {
			info, err := m.trees[next].Stat()
			if err != nil {
				return wire.Errorf(stageInit, "copy", mount.Source, err)
			}
			copied[next] = mount.Source
			size += info.Size()
		}
		next++
	}
	if len(copied) == 0 {
		return nil
	}
	tmpfs, err := newMount("tmpfs", "tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC,
		[]string{"mode=0755", fmt.Sprintf("size=%d", size), fmt.Sprintf("nr_inodes=%d", len(copied)+2)})
	if err != nil {
		return wire.Errorf(stageInit, "make a filesystem for", "copies of files", err)
	}
	defer unix.Close(tmpfs)
	if err := attach(tmpfs, m.root.fd()); err != nil {
		return wire.Errorf(stageInit, "attach a filesystem for", "copies of files", err)
	}
	for i, path := range copied {
		tree, err := copyTo(tmpfs, strconv.Itoa(i), m.trees[i])
		if err != nil {
			return wire.Errorf(stageInit, "copy", path, err)
		}
		m.trees[i].Close()
		m.trees[i] = tree
	}
	if err := unix.Unmount(fmt.Sprintf("/proc/self/fd/%d", tmpfs), unix.MNT_DETACH); err != nil {
		return wire.Errorf(stageInit, "detach the filesystem for", "copies of files", err)
	}
	return nil
}

// copyTo copies a file and returns a mount of the copy.
func copyTo(dir int, name string, from *os.File) (*os.File, error) {
	fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	to := os.NewFile(uintptr(fd), name)
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		return nil, err
	}
	tree, err := cloneTree(dir, name, false)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(tree), name), nil
}
