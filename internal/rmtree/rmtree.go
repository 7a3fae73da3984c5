// Package rmtree removes trees that a container may have made.
//
// # Decisions and rationale
//
//   - os.RemoveAll holds a descriptor for each level of a tree. It always fails if a tree has more levels than the
//     process may have descriptors, and the maker of a tree decides how deep it is. Here a few descriptors are enough,
//     and no path has more than one component.
//   - Directories are not moved out of each other to make a deep tree flat. That would need room on the disk, and a
//     full disk is a reason to remove something.
//   - Other processes may change the tree while it is removed. Whatever they do, nothing outside of the tree is
//     removed: each name is looked up in a descriptor, links are removed and not followed, and other mounts are left
//     alone.
//   - A directory may forbid its owner to read or change it. It gets a mode that allows both.
//   - If one file cannot be removed, the rest is removed all the same.
package rmtree

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/eintr"
)

// maxReturns bounds how often directories are read again because something has come into them meanwhile.
const maxReturns = 1000

// Remove removes the file or the tree at path. It is no error if there is none. Without a path it does nothing. It
// refuses a path whose last component is no name, as os.RemoveAll does.
func Remove(path string) error {
	if path == "" {
		return nil
	}
	switch filepath.Base(path) {
	case ".", "..", "/":
		return &os.PathError{Op: "remove", Path: path, Err: unix.EINVAL}
	}
	path = filepath.Clean(path)
	dir, err := eintr.Retry(func() (int, error) {
		return unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return remove(dir, filepath.Base(path), filepath.Dir(path))
}

// At removes the file or the tree name in the directory dirfd. It is no error if there is none.
func At(dirfd int, name string) error {
	if err := unix.Unlinkat(dirfd, name, 0); err == nil || err == unix.ENOENT {
		return nil
	}
	dir, err := beneath.Open(dirfd, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return remove(dir, name, "")
}

// Below removes all entries of the directory dirfd.
func Below(dirfd int) error {
	dir, err := beneath.Open(dirfd, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return &os.PathError{Op: "read", Path: ".", Err: err}
	}
	return start(dir, "", func(r *remover, top *level) { r.files(top) })
}

// remove removes name in the directory behind the descriptor dir, and closes dir.
func remove(dir int, name, path string) error {
	return start(dir, path, func(r *remover, top *level) { r.entry(top, beneath.Entry{Name: name}) })
}

// start removes from the directory behind the descriptor fd what first removes or notes, and closes fd.
func start(fd int, path string, first func(*remover, *level)) error {
	defer unix.Close(fd)
	pool := &beneath.Pool{}
	defer pool.Close()
	root, err := pool.Hold(fd)
	if err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	r := &remover{path: path}
	top := level{dir: root}
	first(r, &top)
	for _, name := range top.dirs {
		r.tree(top.dir, name)
	}
	return r.failed
}

type remover struct {
	path    string // of the root, for errors
	returns int
	failed  error // the first failure
}

// level is a directory that is being removed.
type level struct {
	dir  *beneath.Dir
	name string
	dirs []string // the directories in it that are still there
}

// tree removes the directory name in dir. It walks down and up without recursion, because others decide how deep the
// tree is and the stack of calls is bounded.
func (r *remover) tree(dir *beneath.Dir, name string) {
	way := []level{{dir: dir, dirs: []string{name}}}
	for {
		at := &way[len(way)-1]
		switch last := len(at.dirs) - 1; {
		case last >= 0:
			name, at.dirs = at.dirs[last], at.dirs[:last]
			if below, ok := r.enter(at.dir, name); ok {
				way = append(way, below)
			}
		case len(way) == 1:
			return
		default:
			at.dir.Leave()
			name, way = at.name, way[:len(way)-1]
			r.empty(&way[len(way)-1], name)
		}
	}
}

// enter opens the directory name in dir, and removes all its entries that are not directories. ok is false if name is
// not a directory any more.
func (r *remover) enter(dir *beneath.Dir, name string) (l level, ok bool) {
	below, err := dir.Enter(name)
	if err == unix.ENOTDIR {
		r.entry(&level{dir: dir}, beneath.Entry{Name: name})
		return l, false
	}
	if err != nil {
		r.fail(dir, name, err)
		return l, false
	}
	l = level{dir: below, name: name}
	if below.Mode()&0o700 != 0o700 {
		allow(below)
	}
	r.files(&l)
	return l, true
}

// files removes all entries of a directory that are not directories, and notes the others.
func (r *remover) files(l *level) {
	var entries []beneath.Entry
	if err := l.dir.Read(func(e beneath.Entry) { entries = append(entries, e) }); err != nil {
		r.fail(l.dir, "", err)
	}
	for _, e := range entries {
		r.entry(l, e)
	}
}

// allow lets the owner read and change a directory. If that fails, removing its entries fails as well and reports why.
func allow(dir *beneath.Dir) {
	if fd, err := dir.FD(); err == nil {
		_ = beneath.Chmod(fd, 0o700)
	}
}

// entry removes an entry, or notes it if it is a directory.
func (r *remover) entry(l *level, e beneath.Entry) {
	if e.Type == unix.DT_DIR {
		l.dirs = append(l.dirs, e.Name)
		return
	}
	fd, err := l.dir.FD()
	if err == nil {
		err = unix.Unlinkat(fd, e.Name, 0)
	}
	if err != nil && err != unix.ENOENT {
		if st, statErr := beneath.Stat(fd, e.Name); statErr == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			l.dirs = append(l.dirs, e.Name)
			return
		}
	}
	r.fail(l.dir, e.Name, err)
}

// empty removes the directory name. It is empty unless something has come into it or could not be removed.
func (r *remover) empty(l *level, name string) {
	fd, err := l.dir.FD()
	if err == nil {
		err = unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
	}
	if err == unix.ENOTDIR {
		err = unix.Unlinkat(fd, name, 0)
	}
	if (err == unix.ENOTEMPTY || err == unix.EEXIST) && r.failed == nil && r.returns < maxReturns {
		r.returns++
		l.dirs = append(l.dirs, name)
		return
	}
	r.fail(l.dir, name, err)
}

// fail notes why an entry could not be removed. An entry that is gone is no failure.
func (r *remover) fail(dir *beneath.Dir, name string, err error) {
	if err == nil || err == unix.ENOENT || r.failed != nil {
		return
	}
	r.failed = &os.PathError{Op: "remove", Path: filepath.Join(r.path, dir.Path(), name), Err: err}
}
