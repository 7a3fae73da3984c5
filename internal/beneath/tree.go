package beneath

import (
	"container/list"
	"os"

	"golang.org/x/sys/unix"
)

// maxOpen is how many descriptors a Tree keeps beside that of its root. Few trees are deeper.
const maxOpen = 24

// Tree is a directory below which files are looked at. It is for one goroutine at a time.
type Tree struct {
	root *Dir
	open list.List // of *Dir, without the root: those with a descriptor, the one that was used last in front
}

// Dir is a directory of a Tree.
type Dir struct {
	tree   *Tree
	parent *Dir // nil of the root
	name   string
	id     identity
	mode   uint32        // when it was entered
	fd     int           // -1 while it is closed
	opened *list.Element // of Tree.open
}

// identity is what stays the same of a directory wherever it is moved.
type identity struct{ dev, ino, mount uint64 }

// sameMount tells whether two files are in one mount.
func (i identity) sameMount(other identity) bool { return i.dev == other.dev && i.mount == other.mount }

// OpenTree opens the directory at path, which may be reached by links.
func OpenTree(path string) (*Tree, error) {
	fd, err := Retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	t, err := NewTree(fd)
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return t, nil
}

// NewTree takes over the descriptor of a directory, which may be O_PATH.
func NewTree(fd int) (*Tree, error) {
	id, mode, err := identify(fd)
	if err != nil {
		return nil, err
	}
	t := &Tree{}
	t.root = &Dir{tree: t, id: id, mode: mode, fd: fd}
	return t, nil
}

// identify examines the file behind fd. Where the kernel does not tell the mount, that is 0.
func identify(fd int) (id identity, mode uint32, err error) {
	var x unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_MODE|unix.STATX_INO|unix.STATX_MNT_ID, &x)
	if err == nil {
		id = identity{dev: unix.Mkdev(x.Dev_major, x.Dev_minor), ino: x.Ino}
		if x.Mask&unix.STATX_MNT_ID != 0 {
			id.mount = x.Mnt_id
		}
		return id, uint32(x.Mode), nil
	}
	var st unix.Stat_t // some seccomp filters refuse the other call
	err = unix.Fstat(fd, &st)
	return identity{dev: st.Dev, ino: st.Ino}, st.Mode, err
}

// Root returns the directory itself.
func (t *Tree) Root() *Dir { return t.root }

// Close closes all descriptors.
func (t *Tree) Close() {
	for e := t.open.Front(); e != nil; e = t.open.Front() {
		e.Value.(*Dir).close()
	}
	unix.Close(t.root.fd)
}

const openDirFlags = unix.O_RDONLY | unix.O_DIRECTORY

// Enter opens the directory name in d. The error is ENOTDIR if that is no directory, a link included, and EXDEV if it is
// in another mount.
func (d *Dir) Enter(name string) (*Dir, error) {
	at, err := d.FD()
	if err != nil {
		return nil, err
	}
	fd, err := openDir(at, name)
	if err != nil {
		return nil, err
	}
	id, mode, err := identify(fd)
	if err == nil && !id.sameMount(d.id) {
		err = unix.EXDEV
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	child := &Dir{tree: d.tree, parent: d, name: name, id: id, mode: mode}
	child.keep(fd)
	return child, nil
}

// openDir opens a directory. A link is none.
func openDir(dirfd int, name string) (int, error) {
	fd, err := Open(dirfd, name, openDirFlags, 0)
	if err == unix.ELOOP {
		err = unix.ENOTDIR
	}
	return fd, err
}

// FD returns the descriptor of the directory, which it keeps until a few others have been used. The error is
// ENOENT if the directory has been closed and is not found in its place any more.
func (d *Dir) FD() (int, error) {
	switch {
	case d.parent == nil:
		return d.fd, nil
	case d.opened != nil:
		d.tree.open.MoveToFront(d.opened)
		return d.fd, nil
	}
	return d.descend()
}

// descend opens a closed directory from the nearest one above it that is open.
func (d *Dir) descend() (int, error) {
	var way []*Dir
	for at := d; at.parent != nil && at.opened == nil; at = at.parent {
		way = append(way, at)
	}
	for i := len(way) - 1; i >= 0; i-- {
		at := way[i]
		above, err := at.parent.FD()
		if err != nil {
			return -1, err
		}
		fd, err := openDir(above, at.name)
		if err == unix.ENOTDIR {
			err = unix.ENOENT
		}
		if err != nil {
			return -1, err
		}
		if !at.adopt(fd) {
			return -1, unix.ENOENT
		}
	}
	return d.fd, nil
}

// adopt keeps a descriptor if it is one of the directory, and closes it if not.
func (d *Dir) adopt(fd int) bool {
	if id, _, err := identify(fd); err != nil || id != d.id {
		unix.Close(fd)
		return false
	}
	d.keep(fd)
	return true
}

func (d *Dir) keep(fd int) {
	d.fd, d.opened = fd, d.tree.open.PushFront(d)
	if d.tree.open.Len() > maxOpen {
		d.tree.open.Back().Value.(*Dir).close()
	}
}

func (d *Dir) close() {
	unix.Close(d.fd)
	d.tree.open.Remove(d.opened)
	d.fd, d.opened = -1, nil
}

// Leave closes the directory, which is not used any more. From one that is left the way to its parent is the shortest: so
// the parent is opened if need be and it is still there.
func (d *Dir) Leave() {
	if d.opened == nil {
		return
	}
	if up := d.parent; up.parent != nil && up.opened == nil {
		if fd, err := openDir(d.fd, ".."); err == nil {
			up.adopt(fd)
		}
	}
	if d.opened != nil { // else the parent has taken its place
		d.close()
	}
}

// Mode is the type and the permissions that the directory had when it was entered.
func (d *Dir) Mode() uint32 { return d.mode }

// Read calls f with every entry of the directory but "." and "..".
func (d *Dir) Read(f func(Entry)) error {
	at, err := d.FD()
	if err != nil {
		return err
	}
	if _, err := unix.Seek(at, 0, unix.SEEK_SET); err != nil {
		return err
	}
	return ReadDir(at, f)
}

// Path returns the path of the directory from the root, "" being the root itself.
func (d *Dir) Path() string {
	if d.parent == nil {
		return ""
	}
	length := -1
	for at := d; at.parent != nil; at = at.parent {
		length += 1 + len(at.name)
	}
	path := make([]byte, length)
	for at := d; at.parent != nil; at = at.parent {
		length -= len(at.name)
		copy(path[length:], at.name)
		if length--; length >= 0 {
			path[length] = '/'
		}
	}
	return string(path)
}
