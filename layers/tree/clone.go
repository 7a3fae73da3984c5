package tree

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// CloneOptions say how to make a tree of another one.
type CloneOptions struct {
	// Named tells of a directory, by its path from the root, whether the tar that the other tree was unpacked from has an
	// entry for it. Others have their owner and mode from the layers below.
	Named func(dir string) bool
	// Lowers are the layers below the new tree.
	Lowers Lowers
	// Metadata is as in UnpackOptions.
	Metadata *Metadata
}

// Clone writes into the tree at root, an open and empty directory, what the tar that an image layer's tree was unpacked
// from would write there. The files share their content where the filesystem can do that.
func Clone(root *os.File, t Tree, opts CloneOptions) error {
	top, err := t.open()
	if err != nil {
		return fmt.Errorf("clone layer: %w", err)
	}
	defer top.xattrs.close()
	lowers, err := opts.Lowers.open()
	if err != nil {
		return fmt.Errorf("clone layer: %w", err)
	}
	defer lowers.close()
	from, err := openDir(unix.AT_FDCWD, t.Dir)
	if err != nil {
		return fmt.Errorf("clone layer: %w", err)
	}
	defer unix.Close(from)
	c := cloner{named: opts.Named, lowers: lowers, xattrs: top.xattrs, keeper: onDisk{}, root: root, linked: map[uint64][]string{}}
	if opts.Metadata != nil {
		c.keeper = opts.Metadata
	}
	if err := c.directory(from, int(root.Fd()), nil); err != nil {
		return fmt.Errorf("clone %s: %w", t.Dir, err)
	}
	return nil
}

type cloner struct {
	named  func(dir string) bool // CloneOptions.Named
	lowers stack
	xattrs xattrs // of the other tree
	keeper keeper // of the new one
	root   *os.File
	linked map[uint64][]string // the first name of files with several, by their inode in the other tree
}

// directory makes the directory behind to, which is empty, one like the directory behind from.
func (c *cloner) directory(from, to int, parts []string) error {
	names, err := c.names(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := append(parts[:len(parts):len(parts)], name)
		if err := c.entry(from, to, path); err != nil {
			return &os.PathError{Op: "clone", Path: strings.Join(path, "/"), Err: err}
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return err
	}
	if err := c.identity(from, to, parts, &st); err != nil {
		return err
	}
	return unix.UtimesNanoAt(to, "", []unix.Timespec{st.Mtim, st.Mtim}, unix.AT_EMPTY_PATH)
}

// identity gives a directory its owner, mode and xattrs. The root has already got those that it has if nothing is said
// of it.
func (c *cloner) identity(from, to int, parts []string, st *unix.Stat_t) error {
	path := strings.Join(parts, "/")
	named := c.named(path)
	if named {
		if err := c.keeper.remove(to, layerfmt.StatXattr); err != nil {
			return err
		}
	}
	at := location{procPath(from, "."), path, c.xattrs}
	if err := c.copyXattrs(at, to, func(name string) bool { return named || name != layerfmt.StatXattr }); err != nil {
		return err
	}
	if named {
		return unix.Fchmod(to, st.Mode&0o7777)
	}
	if len(parts) == 0 {
		return nil
	}
	return meta{stat: c.lowers.parent(parts)}.apply(c.keeper, to)
}

// names lists a directory by way of a descriptor of its own, so that the offset of fd stays.
func (c *cloner) names(fd int) ([]string, error) {
	again, err := openDir(fd, ".")
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(again), ".")
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// entry makes the last of parts in the directory behind to like what the directory behind from has of that name.
func (c *cloner) entry(from, to int, parts []string) error {
	name := parts[len(parts)-1]
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if first := c.linked[st.Ino]; first != nil {
		return c.link(first, to, name)
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.subdirectory(from, to, parts)
	case unix.S_IFREG:
		err = c.file(from, to, parts, &st)
	case unix.S_IFLNK:
		err = c.symlink(from, to, name)
	default: // a whiteout: layers have no other devices on disk
		err = unix.Mknodat(to, name, st.Mode, int(st.Rdev))
	}
	if err != nil {
		return err
	}
	if st.Nlink > 1 {
		c.linked[st.Ino] = parts
	}
	return unix.UtimesNanoAt(to, name, []unix.Timespec{st.Mtim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func (c *cloner) subdirectory(from, to int, parts []string) error {
	name := parts[len(parts)-1]
	source, err := openDir(from, name)
	if err != nil {
		return err
	}
	defer unix.Close(source)
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return err
	}
	made, err := openDir(to, name)
	if err != nil {
		return err
	}
	defer unix.Close(made)
	if err := c.keeper.made(made); err != nil {
		return err
	}
	return c.directory(source, made, parts)
}

func (c *cloner) file(from, to int, parts []string, st *unix.Stat_t) (err error) {
	name := parts[len(parts)-1]
	source, err := retry(func() (int, error) {
		return unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	defer unix.Close(source)
	made, err := retry(func() (int, error) { return unix.Openat(to, name, createFlags, 0o600) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(made)) }()
	if err := c.keeper.made(made); err != nil {
		return err
	}
	if err := filecopy.Copy(made, source, st.Size); err != nil {
		return fmt.Errorf("copy content: %w", err)
	}
	at := location{procPath(from, name), strings.Join(parts, "/"), c.xattrs}
	if err := c.copyXattrs(at, made, func(string) bool { return true }); err != nil {
		return err
	}
	return unix.Fchmod(made, st.Mode&0o7777)
}

func (c *cloner) symlink(from, to int, name string) error {
	target, err := os.Readlink(procPath(from, name))
	if err != nil {
		return err
	}
	return unix.Symlinkat(target, to, name)
}

// link gives a file that has been made a further name.
func (c *cloner) link(first []string, to int, name string) error {
	w := newWalker(int(c.root.Fd()), onDisk{})
	defer w.forget()
	last := len(first) - 1
	dirfd, err := w.open(first[:last], nil)
	if err != nil {
		return err
	}
	return unix.Linkat(dirfd, first[last], to, name, 0)
}

// copyXattrs copies the xattrs that are wanted to an open file.
func (c *cloner) copyXattrs(from location, to int, wanted func(name string) bool) error {
	names, err := from.listXattrs()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "user.") || !wanted(name) {
			continue // what else there is, the host's security modules have set
		}
		value, err := from.getXattr(name)
		if err == nil {
			err = c.keeper.set(to, name, value)
		}
		if err != nil {
			return fmt.Errorf("copy xattr %q: %w", name, err)
		}
	}
	return nil
}
