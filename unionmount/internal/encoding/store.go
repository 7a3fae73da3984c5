package encoding

import (
	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/xattrlog"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"golang.org/x/sys/unix"
)

// Store is where the xattrs of a layer's files are: the notes of the union about a file, and the xattrs that a
// container sets. All code that reads or writes xattrs goes through it.
type Store interface {
	// List returns the names of all xattrs.
	List(x beneath.File) ([]string, error)
	// Read returns the value of an xattr; ENODATA if there is none.
	Read(x beneath.File, name string) ([]byte, error)
	// Set sets an xattr of the file behind fd, which may be O_PATH. flags are those of setxattr(2).
	Set(fd int, name, value string, flags int) error
	// Remove removes an xattr; ENODATA if there is none.
	Remove(fd int, name string) error
	// Changed changes the ctime of the file, after a container has changed an xattr.
	Changed(fd int) error
	// Forget removes all xattrs of an inode number: of a new file, or of a file without a name that is about to be
	// closed.
	Forget(ino uint64) error
	// Sync writes all xattrs to the disk, as fsync(2) does with those on a file.
	Sync() error
	Close() error
}

// OnDisk is the store of the filesystem: xattrs are with their files.
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

// Recorded is a record of the xattrs of a lower, which does not change.
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

// Beside is a record, in the work directory, of the xattrs of an upper on a filesystem that keeps none.
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

// Changed sets the permissions of the file to what they are, which changes its ctime.
func (Beside) Changed(fd int) error {
	st, err := sys.Stat(fd)
	if err != nil {
		return err
	}
	return beneath.Chmod(fd, st.Mode&0o7777)
}

func (s Beside) Forget(ino uint64) error { return s.Log.Forget(ino) }

func (s Beside) Sync() error { return s.Log.Sync() }

// Watch calls f with the size of the record now, and whenever it changes.
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
