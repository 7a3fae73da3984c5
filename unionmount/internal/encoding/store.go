package encoding

import (
	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/xattrlog"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"golang.org/x/sys/unix"
)

// Store are where the xattrs of a layer's files are kept: all that the union notes of a file besides what a plain one
// shows, and those that a container sets. Everything that reads or writes xattrs goes through it.
type Store interface {
	// List returns the names of all xattrs.
	List(x beneath.File) ([]string, error)
	// Read returns the value of one; ENODATA when there is none.
	Read(x beneath.File, name string) ([]byte, error)
	// Set sets one of the file behind fd, which may be O_PATH. flags are those of setxattr(2).
	Set(fd int, name, value string, flags int) error
	// Remove removes one; ENODATA when there is none.
	Remove(fd int, name string) error
	// Changed lets a change that a container made show in the file's ctime.
	Changed(fd int) error
	// Forget takes all of a file away that has just been made, or has no name and is about to be closed.
	Forget(ino uint64) error
	// Sync has all of them on disk, as fsync(2) of a file has its own.
	Sync() error
	Close() error
}

// OnDisk are those that the filesystem keeps, with the files that have them.
type OnDisk struct{}

func (OnDisk) List(x beneath.File) ([]string, error) { return x.Xattrs() }

func (OnDisk) Read(x beneath.File, name string) ([]byte, error) { return x.Xattr(name) }

func (OnDisk) Set(fd int, name, value string, flags int) error {
	return sys.SetXattr(fd, name, value, flags)
}

func (OnDisk) Remove(fd int, name string) error { return beneath.RemoveXattr(fd, name) }

func (OnDisk) Changed(int) error { return nil }

func (OnDisk) Forget(uint64) error { return nil }

func (OnDisk) Sync() error { return nil }

func (OnDisk) Close() error { return nil }

// Recorded are those of a lower that nobody changes any more, in a record beside it.
type Recorded struct{ records *xattrlog.Records }

func (r Recorded) List(x beneath.File) ([]string, error) {
	ino, err := inodeOf(x)
	return r.records.Names(ino), err
}

func (r Recorded) Read(x beneath.File, name string) ([]byte, error) {
	ino, err := inodeOf(x)
	if err != nil {
		return nil, err
	}
	value, ok := r.records.Get(ino, name)
	if !ok {
		return nil, unix.ENODATA
	}
	return []byte(value), nil
}

func (Recorded) Set(int, string, string, int) error { return unix.EROFS }

func (Recorded) Remove(int, string) error { return unix.EROFS }

func (Recorded) Changed(int) error { return nil }

func (Recorded) Forget(uint64) error { return nil }

func (Recorded) Sync() error { return nil }

func (Recorded) Close() error { return nil }

// Beside are those of an upper on a filesystem that keeps none, in a record in its work directory.
type Beside struct{ Log *xattrlog.Log }

// Linux bounds the name and the value of an xattr.
const (
	longestXattrName  = 255
	longestXattrValue = 64 << 10
)

func (s Beside) List(x beneath.File) ([]string, error) {
	ino, err := inodeOf(x)
	return s.Log.Names(ino), err
}

func (s Beside) Read(x beneath.File, name string) ([]byte, error) {
	ino, err := inodeOf(x)
	if err != nil {
		return nil, err
	}
	value, ok := s.Log.Get(ino, name)
	if !ok {
		return nil, unix.ENODATA
	}
	return []byte(value), nil
}

func (s Beside) Set(fd int, name, value string, flags int) error {
	switch {
	case len(name) > longestXattrName:
		return unix.ERANGE
	case len(value) > longestXattrValue:
		return unix.E2BIG
	}
	ino, err := inodeOf(beneath.File{FD: fd})
	if err != nil {
		return err
	}
	return s.Log.Set(ino, name, value, flags)
}

func (s Beside) Remove(fd int, name string) error {
	ino, err := inodeOf(beneath.File{FD: fd})
	if err != nil {
		return err
	}
	return s.Log.Remove(ino, name)
}

// Changed gives the file the permissions that it has.
func (Beside) Changed(fd int) error {
	st, err := sys.Stat(fd)
	if err != nil {
		return err
	}
	return beneath.Chmod(fd, st.Mode&0o7777)
}

func (s Beside) Forget(ino uint64) error { return s.Log.Forget(ino) }

func (s Beside) Sync() error { return s.Log.Sync() }

// Watch has f called with the size of the record whenever that changes.
func (s Beside) Watch(f func(size int64)) { s.Log.Watch(f) }

func (s Beside) Close() error { return s.Log.Close() }

// inodeOf returns the inode number of a file.
func inodeOf(x beneath.File) (uint64, error) {
	if x.Name == "" {
		st, err := sys.Stat(x.FD)
		return st.Ino, err
	}
	st, err := beneath.Stat(x.FD, x.Name)
	return st.Ino, err
}

// NewRecorded returns the store of a record that does not change.
func NewRecorded(records *xattrlog.Records) Store { return Recorded{records} }

// NewBeside returns the store of a record in a work directory.
func NewBeside(log *xattrlog.Log) Store { return Beside{log} }
