package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
)

const createFlags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL

// early is the size from which the writing of a file to disk begins at once.
const early = 1 << 20

// create makes the inode, or the further name, that an entry describes.
func (u *unpacker) create(hdr *tar.Header, t target, content io.Reader) error {
	if hdr.Typeflag == tar.TypeLink {
		return u.makeHardLink(t, hdr.Linkname)
	}
	m, err := headerMeta(hdr)
	if err != nil {
		return err
	}
	switch m.stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		u.dirTimes[strings.Join(t.parts, "/")] = hdr.ModTime
		return u.makeDir(t, m)
	case unix.S_IFLNK:
		return u.makeSymlink(t, m, hdr.Linkname, hdr.ModTime)
	case unix.S_IFREG:
		n, err := u.makeFile(t, m, content, hdr.ModTime)
		u.size += n
		if err == nil && n != hdr.Size {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	_, err = u.makeFile(t, m, strings.NewReader(""), hdr.ModTime)
	return err
}

// place runs link, which gives an inode its name and fails with EEXIST if the name is taken. If it is taken, place
// clears the name and runs link again. deleted tells whether the mark of a deletion had the name.
func (u *unpacker) place(t target, link func() error) (deleted bool, err error) {
	if deleted, err = u.dropWhiteoutFile(t); err != nil {
		return false, err
	}
	if err = link(); !errors.Is(err, unix.EEXIST) {
		return deleted, err
	}
	mark := u.walker.isWhiteout(t.dirfd, t.parts)
	if !mark && (t.viaLink || u.viaLink[strings.Join(t.parts, "/")]) {
		// As for a name that comes twice: the tar could not be written out again.
		return false, fmt.Errorf("%s has another name, too: %w", strings.Join(t.parts, "/"), storage.ErrDuplicatePath)
	}
	u.walker.alias = "" // the alias may lead through what is removed
	if err := rmtree.At(t.dirfd, t.base); err != nil {
		return mark, fmt.Errorf("replace earlier entry: %w", err)
	}
	return deleted || mark, link()
}

// makeDir makes a directory, or takes over the directory that is there.
func (u *unpacker) makeDir(t target, m meta) error {
	deleted := false
	fd, err := openDir(t.dirfd, t.base)
	made := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
	if made {
		if deleted, err = u.place(t, func() error { return unix.Mkdirat(t.dirfd, t.base, 0o700) }); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		fd, err = openDir(t.dirfd, t.base)
	}
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer unix.Close(fd)
	if made {
		if err := u.keeper.made(fd); err != nil {
			return err
		}
	}
	if deleted {
		if err := markOpaque(u.keeper, fd); err != nil {
			return err
		}
	}
	return m.apply(u.keeper, fd)
}

// makeFile makes a regular file on disk, which stands for a file of the type in m.
func (u *unpacker) makeFile(t target, m meta, content io.Reader, mtime time.Time) (size int64, err error) {
	fd := -1
	_, err = u.place(t, func() error {
		var err error
		fd, err = beneath.Open(t.dirfd, t.base, createFlags, 0o600)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("make file: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	if err := u.keeper.made(fd); err != nil {
		return 0, err
	}
	if size, err = filecopy.Fill(fd, content, u.buf); err != nil {
		return size, fmt.Errorf("write content: %w", err)
	}
	if size >= early {
		// This leaves little to flush at the end. If the kernel refuses, more is left.
		_ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
	if err := m.applyNew(u.keeper, fd); err != nil {
		return size, err
	}
	return size, setTimes(t.dirfd, t.base, mtime)
}

// makeSymlink makes a symbolic link, or the file that stands for a link which plain links cannot show.
func (u *unpacker) makeSymlink(t target, m meta, link string, mtime time.Time) error {
	if link == "" || len(link) > maxPath || strings.ContainsRune(link, 0) {
		return fmt.Errorf("symbolic link with a target of %d bytes", len(link))
	}
	if m.backingType() == unix.S_IFREG {
		_, err := u.makeFile(t, m, strings.NewReader(link), mtime)
		return err
	}
	_, err := u.place(t, func() error { return unix.Symlinkat(link, t.dirfd, t.base) })
	if err != nil {
		return fmt.Errorf("make symbolic link: %w", err)
	}
	return setTimes(t.dirfd, t.base, mtime)
}

// makeHardLink gives a file of an earlier entry a further name.
func (u *unpacker) makeHardLink(t target, link string) error {
	from, err := splitName(link)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", link, err)
	}
	if len(from) == 0 {
		return fmt.Errorf("hard link to %q: is a directory", link)
	}
	base := from[len(from)-1]
	if kind, _ := parseDeletion(base); kind != noDeletion {
		return fmt.Errorf("hard link to %q: %w", link, errReserved)
	}
	// This needs a walker of its own, because the other one keeps the directory of the new name.
	w := newWalker(u.walker.root, u.walker.xattrs)
	defer w.forget()
	fromfd, dir, err := w.enter(from[:len(from)-1], nil)
	from = append(slices.Clone(dir), base)
	if err == nil && slices.Equal(from, t.parts) {
		return fmt.Errorf("hard link to %q: links to itself", link)
	}
	if err == nil && w.isWhiteout(fromfd, from) {
		err = unix.ENOENT
	}
	if err == nil {
		_, err = u.place(t, func() error { return unix.Linkat(fromfd, base, t.dirfd, t.base, 0) })
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("hard link to %q: no earlier entry of the layer has that name", link)
	}
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", link, err)
	}
	return nil
}

// writeWhiteout hides a name of the layers below. What this layer itself has under that name stays, as the image
// specification demands; a directory then hides what the layers below have in it.
func (u *unpacker) writeWhiteout(t target, mtime time.Time) error {
	var st unix.Stat_t
	err := unix.Fstatat(t.dirfd, t.base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		fd, err := openDir(t.dirfd, t.base)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return markOpaque(u.keeper, fd)
	case err == nil:
		return nil
	case !errors.Is(err, unix.ENOENT):
		return err
	}
	return u.makeWhiteout(t, mtime)
}

// mknodRefused are the errors by which kernels, filesystems and sandboxes refuse mknod(2) in general.
var mknodRefused = []error{unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL}

func (u *unpacker) makeWhiteout(t target, mtime time.Time) error {
	if !u.whiteoutFiles {
		err := unix.Mknodat(t.dirfd, t.base, unix.S_IFCHR, 0)
		if err == nil {
			return setTimes(t.dirfd, t.base, mtime)
		}
		if !slices.Contains(mknodRefused, err) {
			return fmt.Errorf("make whiteout: %w", err)
		}
		u.whiteoutFiles = true
	}
	name := layerfmt.WhiteoutPrefix + t.base
	if needsXattrWhiteout(t.base) {
		name = t.base
	}
	fd, err := beneath.Open(t.dirfd, name, unix.O_WRONLY|unix.O_CREAT, 0o600)
	if err != nil {
		return fmt.Errorf("make whiteout: %w", err)
	}
	defer unix.Close(fd)
	if name == t.base {
		if err := errors.Join(u.keeper.made(fd), u.keeper.set(fd, layerfmt.WhiteoutXattr, "")); err != nil {
			return fmt.Errorf("make whiteout: %w", err)
		}
	}
	return setTimes(t.dirfd, name, mtime)
}

// dropWhiteoutFile removes the whiteout of a name that is about to exist, if whiteouts are files.
func (u *unpacker) dropWhiteoutFile(t target) (dropped bool, err error) {
	if !u.whiteoutFiles || needsXattrWhiteout(t.base) {
		return false, nil
	}
	err = unix.Unlinkat(t.dirfd, layerfmt.WhiteoutPrefix+t.base, 0)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// applyDirTimes sets the times of all directories, except those that a later entry has replaced.
func (u *unpacker) applyDirTimes() error {
	for _, path := range slices.Sorted(maps.Keys(u.dirTimes)) { // a directory after its parent
		var parts []string
		if path != "" {
			parts = strings.Split(path, "/")
		}
		fd, err := u.walker.open(parts, nil)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err == nil {
			err = setTimes(fd, "", u.dirTimes[path])
		}
		if err != nil {
			return &EntryError{Name: path + "/", Err: err}
		}
	}
	return nil
}
