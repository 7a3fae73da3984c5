package tree

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/internal/xattrlog"
)

// keeper keeps the xattrs of files that are made or changed, given their descriptors.
type keeper interface {
	set(fd int, name, value string) error
	// remove removes an xattr that a file may have.
	remove(fd int, name string) error
	// made forgets what is known of an earlier file with the inode number of one that was just made.
	made(fd int) error
}

func (onDisk) set(fd int, name, value string) error { return setXattr(fd, name, value) }

func (onDisk) remove(fd int, name string) error { return removeXattr(fd, name) }

func (onDisk) made(int) error { return nil }

// Metadata is what a filesystem without xattrs cannot keep of a tree that is being unpacked. When the index of the tree
// is written, the index has it.
type Metadata struct{ records xattrlog.Records }

// ReadMetadata returns what the index at path says of the tree at root, which is still empty.
func ReadMetadata(root *os.File, path string) (*Metadata, error) {
	index, err := layerindex.Open(path)
	if err != nil {
		return nil, err
	}
	defer index.Close()
	top := index.Root()
	if dir, err := index.Dir(&top, layerindex.Dir{}); err != nil || dir.Len() > 0 {
		return nil, errors.Join(err,
			fmt.Errorf("unpack into %s: it is not empty, and what is there is known by its index alone", root.Name()))
	}
	m := &Metadata{}
	return m, m.set(int(root.Fd()), layerfmt.StatXattr, top.Stat.Encode())
}

// NewMetadata returns the metadata of the empty tree at root, with the owner and mode of the root directory.
func NewMetadata(root *os.File, st layerfmt.Stat) (*Metadata, error) {
	m := &Metadata{}
	return m, meta{stat: st}.apply(m, int(root.Fd()))
}

func (m *Metadata) set(fd int, name, value string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	m.records.Set(st.Ino, name, value)
	return nil
}

func (m *Metadata) remove(fd int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	m.records.Remove(st.Ino, name)
	return nil
}

func (m *Metadata) made(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	m.records.Forget(st.Ino)
	return nil
}

// WriteIndex is the function WriteIndex for a tree with the metadata m.
func (m *Metadata) WriteIndex(root *os.File, w *os.File) error {
	return writeIndex(root, w, inRecord{&m.records})
}

// logKeeper writes a record in the form of package xattrlog.
type logKeeper struct{ *xattrlog.Log }

func (l logKeeper) set(fd int, name, value string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return l.Set(st.Ino, name, value, 0)
}

func (l logKeeper) remove(fd int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := l.Remove(st.Ino, name); err != unix.ENODATA {
		return err
	}
	return nil
}

func (l logKeeper) made(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return l.Forget(st.Ino)
}

// StartRecord makes the record of xattrs of an empty tree, in the directory work, with the owner and mode of the root
// directory.
func StartRecord(dir, work string, st layerfmt.Stat) (err error) {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	place, err := os.Open(work)
	if err != nil {
		return err
	}
	defer place.Close()
	var on unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &on); err != nil {
		return err
	}
	log, err := xattrlog.Create(int(place.Fd()), on.Ino)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return meta{stat: st}.apply(logKeeper{log}, int(root.Fd()))
}
