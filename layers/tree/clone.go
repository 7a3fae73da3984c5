package tree

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// CloneOptions say how to make a tree from another one.
type CloneOptions struct {
	// Named tells whether the tar that the other tree was unpacked from has an entry for a directory, given by its path
	// from the root. A directory without an entry takes its owner and mode from the layers below.
	Named func(dir string) bool
	// Lowers are the layers below the new tree.
	Lowers Lowers
	// Metadata is as in UnpackOptions.
	Metadata *Metadata
}

// Clone writes into the tree at root, an open and empty directory, what the tar would write there that an image layer's
// tree was unpacked from. The files share their content if the filesystem can do that.
func Clone(root *os.File, t Tree, opts CloneOptions) error {
	pool := &beneath.Pool{}
	defer pool.Close()
	from, err := t.open(pool)
	if err != nil {
		return fmt.Errorf("clone layer: %w", err)
	}
	defer from.xattrs.close()
	lowers, err := opts.Lowers.open(pool)
	if err != nil {
		return fmt.Errorf("clone layer: %w", err)
	}
	defer lowers.close()
	to, err := pool.Hold(int(root.Fd()))
	if err != nil {
		return fmt.Errorf("clone layer: %w", err)
	}
	c := cloner{named: opts.Named, lowers: newFinder(lowers), keeper: onDisk{}, root: root,
		linked: map[uint64][]string{}}
	if opts.Metadata != nil {
		c.keeper = opts.Metadata
	}
	if err := c.directory(from, to, nil); err != nil {
		return fmt.Errorf("clone %s: %w", t.Dir, err)
	}
	return nil
}

type cloner struct {
	named  func(dir string) bool // CloneOptions.Named
	lowers *finder
	keeper keeper // of the new tree
	root   *os.File
	linked map[uint64][]string // the first name of files with several, by their inode in the other tree
}

// directory makes the empty directory to like the directory from.
func (c *cloner) directory(from dir, to *beneath.Dir, parts []string) error {
	names, err := from.names(nil)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := append(parts[:len(parts):len(parts)], name)
		if err := c.entry(from.child(name), to, path); err != nil {
			return err
		}
	}
	st, err := from.self().stat()
	if err != nil {
		return err
	}
	at, err := to.FD()
	if err != nil {
		return err
	}
	fd, err := openDir(at, ".") // opened for changes
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := c.identity(from, fd, parts, &st); err != nil {
		return err
	}
	return unix.UtimesNanoAt(fd, "", []unix.Timespec{st.Mtim, st.Mtim}, unix.AT_EMPTY_PATH)
}

// identity gives a directory its owner, mode and xattrs. The root has those already that it has if no entry mentions
// it.
func (c *cloner) identity(from dir, to int, parts []string, st *unix.Stat_t) error {
	named := c.named(strings.Join(parts, "/"))
	if named {
		if err := c.keeper.remove(to, layerfmt.StatXattr); err != nil {
			return err
		}
	}
	if err := c.copyXattrs(from.self(), to, func(name string) bool {
		return named ||
			name != layerfmt.StatXattr
	}); err != nil {
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

// entry makes the last of parts, in the directory to, like a file.
func (c *cloner) entry(at location, to *beneath.Dir, parts []string) error {
	st, err := at.stat()
	if err != nil {
		return err
	}
	fd, err := to.FD()
	if err != nil {
		return at.fault("clone", err)
	}
	if first := c.linked[st.Ino]; first != nil {
		return at.fault("clone", c.link(first, fd, at.name))
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.subdirectory(at, to, parts)
	case unix.S_IFREG:
		err = c.file(at, fd, &st)
	case unix.S_IFLNK:
		err = c.symlink(at, fd, &st)
	default: // a whiteout: layers have no other devices on disk
		err = unix.Mknodat(fd, at.name, st.Mode, int(st.Rdev))
	}
	if err != nil {
		return at.fault("clone", err)
	}
	if st.Nlink > 1 {
		c.linked[st.Ino] = parts
	}
	return at.fault("clone", unix.UtimesNanoAt(fd, at.name, []unix.Timespec{st.Mtim, st.Mtim},
		unix.AT_SYMLINK_NOFOLLOW))
}

func (c *cloner) subdirectory(at location, to *beneath.Dir, parts []string) error {
	fd, err := to.FD()
	if err == nil {
		err = unix.Mkdirat(fd, at.name, 0o700)
	}
	if err != nil {
		return at.fault("clone", err)
	}
	made, err := to.Enter(at.name)
	if err != nil {
		return at.fault("clone", err)
	}
	defer made.Leave()
	if fd, err = made.FD(); err == nil {
		err = c.keeper.made(fd)
	}
	if err != nil {
		return at.fault("clone", err)
	}
	source, err := at.enter()
	if err != nil {
		return err
	}
	defer source.leave()
	return c.directory(source, made, parts)
}

func (c *cloner) file(at location, to int, st *unix.Stat_t) (err error) {
	source, err := at.open()
	if err != nil {
		return err
	}
	defer source.Close()
	made, err := beneath.Open(to, at.name, createFlags, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(made)) }()
	if err := c.keeper.made(made); err != nil {
		return err
	}
	if err := filecopy.Copy(made, int(source.Fd()), st.Size); err != nil {
		return fmt.Errorf("copy content: %w", err)
	}
	if err := c.copyXattrs(at, made, func(string) bool { return true }); err != nil {
		return err
	}
	return unix.Fchmod(made, st.Mode&0o7777)
}

func (c *cloner) symlink(at location, to int, st *unix.Stat_t) error {
	target, err := at.readLink(st)
	if err != nil {
		return err
	}
	return unix.Symlinkat(target, to, at.name)
}

// link gives a file that was made before a further name.
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

// copyXattrs copies the xattrs of an image to an open file.
func (c *cloner) copyXattrs(from location, to int, wanted func(name string) bool) error {
	names, err := from.listXattrs()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "user.") || !wanted(name) {
			continue // the host's security modules have set the others
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
