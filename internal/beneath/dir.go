package beneath

import (
	"container/list"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

// maxOpen is how many directories a Pool keeps open, besides roots that cannot be opened again. Few trees are deeper.
const maxOpen = 48

// Pool keeps open a few of the directories that are used through it. It is for one goroutine at a time.
type Pool struct {
	open list.List // of *Dir, the most recently used one first
}

// Dir is a directory of a tree.
type Dir struct {
	pool   *Pool
	root   *Dir
	parent *Dir   // nil for the root
	name   string // in the parent; for the root its path, or "" if it cannot be opened again
	id     identity
	mode   uint32        // when it was entered
	fd     int           // -1 while it is closed
	opened *list.Element // of Pool.open
}

// identity holds what stays the same for a directory wherever it is moved.
type identity struct{ dev, ino, mount uint64 }

// sameMount tells whether two files are in one mount.
func (i identity) sameMount(other identity) bool { return i.dev == other.dev && i.mount == other.mount }

// identify examines the file behind fd. Where the kernel does not tell the mount, the mount is 0.
func identify(fd int) (id identity, mode uint32, err error) {
	var x unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC,
		unix.STATX_TYPE|unix.STATX_MODE|unix.STATX_INO|unix.STATX_MNT_ID, &x)
	if err == nil {
		id = identity{dev: unix.Mkdev(x.Dev_major, x.Dev_minor), ino: x.Ino}
		if x.Mask&unix.STATX_MNT_ID != 0 {
			id.mount = x.Mnt_id
		}
		return id, uint32(x.Mode), nil
	}
	var st unix.Stat_t // some seccomp filters refuse statx(2)
	err = unix.Fstat(fd, &st)
	return identity{dev: st.Dev, ino: st.Ino}, st.Mode, err
}

// Open opens the directory at path, which may contain links. It is the root of a tree.
func (p *Pool) Open(path string) (*Dir, error) {
	fd, err := openRoot(path)
	if err == nil {
		var d *Dir
		if d, err = p.root(fd, path); err == nil {
			d.keep(fd)
			return d, nil
		}
		unix.Close(fd)
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

// Hold makes the directory behind fd the root of a tree. The caller closes the descriptor when nothing of the tree is
// used any more.
func (p *Pool) Hold(fd int) (*Dir, error) {
	d, err := p.root(fd, "")
	if err != nil {
		return nil, err
	}
	d.fd = fd
	return d, nil
}

func (p *Pool) root(fd int, path string) (*Dir, error) {
	id, mode, err := identify(fd)
	if err != nil {
		return nil, err
	}
	d := &Dir{pool: p, name: path, id: id, mode: mode, fd: -1}
	d.root = d
	return d, nil
}

func openRoot(path string) (int, error) {
	return eintr.Retry(func() (int, error) { return unix.Open(path, dirFlags|unix.O_CLOEXEC, 0) })
}

// Close closes all directories.
func (p *Pool) Close() {
	for e := p.open.Front(); e != nil; e = p.open.Front() {
		e.Value.(*Dir).close()
	}
}

// dirFlags open a directory for lookups in it only.
const dirFlags = unix.O_PATH | unix.O_DIRECTORY

// openDir opens a directory. A link does not count as one.
func openDir(dirfd int, name string) (int, error) {
	fd, err := Open(dirfd, name, dirFlags, 0)
	if err == unix.ELOOP {
		err = unix.ENOTDIR
	}
	return fd, err
}

// Enter opens the directory name in d. The error is ENOTDIR if name is not a directory (a link is not), and EXDEV if it
// is in another mount.
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
	child := &Dir{pool: d.pool, root: d.root, parent: d, name: name, id: id, mode: mode}
	child.keep(fd)
	return child, nil
}

// FD returns an O_PATH descriptor of the directory, which stays open until a few other directories have been used. The
// error is ENOENT if the directory had been closed and is not in its place any more.
func (d *Dir) FD() (int, error) {
	switch {
	case d.opened != nil:
		d.pool.open.MoveToFront(d.opened)
		return d.fd, nil
	case d.fd >= 0:
		return d.fd, nil
	}
	return d.descend()
}

// descend opens a closed directory from the nearest open one above it.
func (d *Dir) descend() (int, error) {
	var way []*Dir
	for at := d; at != nil && at.fd < 0; at = at.parent {
		way = append(way, at)
	}
	for i := len(way) - 1; i >= 0; i-- {
		fd, err := way[i].reopen()
		if err == unix.ENOTDIR {
			err = unix.ENOENT
		}
		if err != nil {
			return -1, err
		}
		if !way[i].adopt(fd) {
			return -1, unix.ENOENT
		}
	}
	return d.fd, nil
}

// reopen opens what is in the place of a directory whose parent is open.
func (d *Dir) reopen() (int, error) {
	if d.parent == nil {
		return openRoot(d.name)
	}
	above, err := d.parent.FD()
	if err != nil {
		return -1, err
	}
	return openDir(above, d.name)
}

// adopt keeps a descriptor if it refers to the directory, and closes it otherwise.
func (d *Dir) adopt(fd int) bool {
	if id, _, err := identify(fd); err != nil || id != d.id {
		unix.Close(fd)
		return false
	}
	d.keep(fd)
	return true
}

func (d *Dir) keep(fd int) {
	d.fd, d.opened = fd, d.pool.open.PushFront(d)
	if d.pool.open.Len() > maxOpen {
		d.pool.open.Back().Value.(*Dir).close()
	}
}

func (d *Dir) close() {
	unix.Close(d.fd)
	d.pool.open.Remove(d.opened)
	d.fd, d.opened = -1, nil
}

// Leave closes a directory that is not used any more. The way to the parent is the shortest from here, so Leave opens
// the parent if it is closed and still there.
func (d *Dir) Leave() {
	if d.opened == nil {
		return
	}
	if up := d.parent; up != nil && up.fd < 0 {
		if fd, err := openDir(d.fd, ".."); err == nil {
			up.adopt(fd)
		}
	}
	if d.opened != nil { // otherwise the parent has taken its place in the pool
		d.close()
	}
}

// Root returns the root of the tree that the directory is in.
func (d *Dir) Root() *Dir { return d.root }

// Mode returns the type and the permissions that the directory had when it was entered.
func (d *Dir) Mode() uint32 { return d.mode }

// Read calls f with every entry of the directory except "." and "..".
func (d *Dir) Read(f func(Entry)) error {
	at, err := d.FD()
	if err != nil {
		return err
	}
	fd, err := Open(at, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return ReadDir(fd, f)
}

// Path returns the path of the directory from the root. The path of the root itself is "".
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
