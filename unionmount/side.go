package unionmount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/xattrlog"
)

// xattrs are where the xattrs of a layer's files are kept: all that the union notes of a file besides what a plain one
// shows, and those that a container sets. Everything that reads or writes xattrs goes through it.
type xattrs interface {
	// list returns the names of all xattrs.
	list(x beneath.File) ([]string, error)
	// read returns the value of one; ENODATA when there is none.
	read(x beneath.File, name string) ([]byte, error)
	// set sets one of the file behind fd, which may be O_PATH. flags are those of setxattr(2).
	set(fd int, name, value string, flags int) error
	// remove removes one; ENODATA when there is none.
	remove(fd int, name string) error
	// changed lets a change that a container made show in the file's ctime.
	changed(fd int) error
	// forget takes all of a file away that has just been made, or has no name and is about to be closed.
	forget(ino uint64) error
	// sync has all of them on disk, as fsync(2) of a file has its own.
	sync() error
	close() error
}

// diskXattrs are those that the filesystem keeps, with the files that have them.
type diskXattrs struct{}

func (diskXattrs) list(x beneath.File) ([]string, error) { return x.Xattrs() }

func (diskXattrs) read(x beneath.File, name string) ([]byte, error) { return x.Xattr(name) }

func (diskXattrs) set(fd int, name, value string, flags int) error {
	return owning(fd, func() error { return beneath.SetXattr(fd, name, value, flags) })
}

func (diskXattrs) remove(fd int, name string) error { return beneath.RemoveXattr(fd, name) }

func (diskXattrs) changed(int) error { return nil }

func (diskXattrs) forget(uint64) error { return nil }

func (diskXattrs) sync() error { return nil }

func (diskXattrs) close() error { return nil }

// recordedXattrs are those of a lower that nobody changes any more, in a record beside it.
type recordedXattrs struct{ *xattrlog.Records }

func (r recordedXattrs) list(x beneath.File) ([]string, error) {
	ino, err := inodeOf(x)
	return r.Names(ino), err
}

func (r recordedXattrs) read(x beneath.File, name string) ([]byte, error) {
	ino, err := inodeOf(x)
	if err != nil {
		return nil, err
	}
	value, ok := r.Get(ino, name)
	if !ok {
		return nil, unix.ENODATA
	}
	return []byte(value), nil
}

func (recordedXattrs) set(int, string, string, int) error { return unix.EROFS }

func (recordedXattrs) remove(int, string) error { return unix.EROFS }

func (recordedXattrs) changed(int) error { return nil }

func (recordedXattrs) forget(uint64) error { return nil }

func (recordedXattrs) sync() error { return nil }

func (recordedXattrs) close() error { return nil }

// sideXattrs are those of an upper on a filesystem that keeps none, in a record in its work directory.
type sideXattrs struct{ *xattrlog.Log }

// Linux bounds the name and the value of an xattr.
const (
	longestXattrName  = 255
	longestXattrValue = 64 << 10
)

func (s sideXattrs) list(x beneath.File) ([]string, error) {
	ino, err := inodeOf(x)
	return s.Names(ino), err
}

func (s sideXattrs) read(x beneath.File, name string) ([]byte, error) {
	ino, err := inodeOf(x)
	if err != nil {
		return nil, err
	}
	value, ok := s.Get(ino, name)
	if !ok {
		return nil, unix.ENODATA
	}
	return []byte(value), nil
}

func (s sideXattrs) set(fd int, name, value string, flags int) error {
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
	return s.Set(ino, name, value, flags)
}

func (s sideXattrs) remove(fd int, name string) error {
	ino, err := inodeOf(beneath.File{FD: fd})
	if err != nil {
		return err
	}
	return s.Remove(ino, name)
}

// changed gives the file the permissions that it has.
func (sideXattrs) changed(fd int) error {
	st, err := statFD(fd)
	if err != nil {
		return err
	}
	return beneath.Chmod(fd, st.Mode&0o7777)
}

func (s sideXattrs) forget(ino uint64) error { return s.Forget(ino) }

func (s sideXattrs) sync() error { return s.Sync() }

func (s sideXattrs) close() error { return s.Close() }

// inodeOf returns the inode number of a file.
func inodeOf(x beneath.File) (uint64, error) {
	if x.Name == "" {
		st, err := statFD(x.FD)
		return st.Ino, err
	}
	st, err := statAt(x.FD, x.Name)
	return st.Ino, err
}

// chooseXattrs finds out where the xattrs of a CallerOwned upper are: where they were put when it was new, or, if it is,
// in a record only if the filesystem keeps none or opts ask for it.
func (l *layer) chooseXattrs(opts Options) error {
	if l.Ownership != CallerOwned {
		return nil
	}
	work, err := unix.Open(opts.Work, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open work directory %s: %w", opts.Work, err)
	}
	defer unix.Close(work)
	root, err := statFD(l.root)
	if err != nil {
		return fmt.Errorf("stat layer %s: %w", l.dir, err)
	}
	log, err := xattrlog.Open(work, root.Ino)
	if errors.Is(err, fs.ErrNotExist) {
		if !opts.SideXattrs && l.hasXattrs() {
			return nil
		}
		log, err = l.newRecord(work, root.Ino, opts)
	} else if err == nil && log.Unclean() {
		err = l.dropGone(log, work)
	}
	if err != nil {
		return fmt.Errorf("layer %s: owners and xattrs are kept in %s: %w", l.dir, filepath.Join(opts.Work, xattrlog.Name), err)
	}
	l.xattrs = sideXattrs{log}
	l.policy = callerOwned{l.xattrs}
	return nil
}

// hasXattrs tells whether the filesystem of a layer keeps xattrs of users.
func (l *layer) hasXattrs() bool {
	_, err := beneath.File{FD: l.root}.Xattr(originXattr)
	return err != unix.EOPNOTSUPP && err != unix.ENOSYS
}

// newRecord makes the record of an upper, which must be new: what the files of another stand for would be lost.
func (l *layer) newRecord(work int, root uint64, opts Options) (*xattrlog.Log, error) {
	if left, err := os.ReadDir(l.dir); err != nil {
		return nil, err
	} else if len(left) > 0 {
		return nil, fmt.Errorf("%w, and the directory is not empty", fs.ErrNotExist)
	}
	return xattrlog.Create(work, root)
}

// dropGone has the record forget the files that are neither in the tree nor in the index of hard links any more, after a
// crash.
func (l *layer) dropGone(log *xattrlog.Log, work int) error {
	root, err := statFD(l.root)
	if err != nil {
		return err
	}
	inos := map[uint64]bool{root.Ino: true}
	w := treeWalk{visit: func(_ int, _ string, st *unix.Stat_t) { inos[st.Ino] = true }}
	if err := w.tree(l.root); err != nil {
		return err
	}
	index, err := makeDir(work, layerfmt.LinkIndex)
	if err != nil {
		return err
	}
	defer unix.Close(index)
	if _, err := w.dir(index); err != nil {
		return err
	}
	return log.Retain(inos)
}

// mayBeGone notes that the file of n in the upper may have lost its last name, or have none yet.
func (u *Union) mayBeGone(n *Node) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n.mayBeGone = true
}

// forgetXattrsLocked forgets the xattrs of n, which is about to be forgotten, if its file in the upper goes with its
// descriptor: the inode number may be another file's then. That this can fail does no harm, since whoever makes a file
// does the same for it.
func (u *Union) forgetXattrsLocked(n *Node) {
	if _, recorded := u.xattrsOfUpper().(sideXattrs); !recorded || !n.mayBeGone || !n.inUpper.Load() {
		return
	}
	if n.dead.Load() || u.isNameless(n) {
		u.upper.xattrs.forget(n.upperKey.ino)
	}
}

// xattrsOfUpper returns nil when there is no upper.
func (u *Union) xattrsOfUpper() xattrs {
	if u.upper == nil {
		return nil
	}
	return u.upper.xattrs
}

// isNameless tells whether the file of n in the upper, which was kept open before its last known name went, has no name.
func (u *Union) isNameless(n *Node) bool {
	h := u.fds.get(fdKey{n, slotUpper})
	if h == nil {
		h = u.fds.get(fdKey{n, slotData})
	}
	if h == nil {
		return false
	}
	defer u.fds.release(h)
	st, err := statFD(h.fd)
	return err != nil || st.Nlink == 0
}

// forgetGone forgets the xattrs of all files that go when the Union is closed.
func (u *Union) forgetGone() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, n := range u.byID {
		u.forgetXattrsLocked(n)
	}
}
