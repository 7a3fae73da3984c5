package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// firstSlot is the slot of the file that shows, with which the stack of a node's backing files begins.
func (n *Node) firstSlot() int {
	if n.inUpper.Load() {
		return fdcache.Upper
	}
	return 0
}

// layers returns the number of lowers in which names of a directory are looked up.
func (n *Node) layers() int {
	if n.complete.Load() {
		return 0
	}
	return len(n.lowers)
}

// dataSlot is the slot of the data of a regular file that has none in the upper.
func (n *Node) dataSlot() int { return len(n.lowers) - 1 }

// fdKey returns the key of the descriptor of a slot.
func (n *Node) fdKey(slot int) fdcache.Key { return fdcache.Key{Node: n.id, Slot: slot} }

func (n *Node) layerAt(slot int) *layer.Layer {
	if slot == fdcache.Upper {
		return n.u.upper
	}
	return n.lowers[slot].Layer
}

// openSlot returns the slot of the descriptor through which the data of a backing file is open, or slot itself if
// data is never open there.
func (n *Node) openSlot(slot int) int {
	switch {
	case n.kind != unix.S_IFREG:
		return slot
	case slot == fdcache.Upper:
		return fdcache.UpperData
	case slot == n.dataSlot():
		return fdcache.LowerData
	}
	return slot
}

// topLayer returns the layer of the file that shows. For a mount point, which has no place in a layer, it is the
// topmost layer.
func (n *Node) topLayer() *layer.Layer {
	if slot := n.firstSlot(); slot < len(n.lowers) {
		return n.layerAt(slot)
	}
	return n.u.stack()[0]
}

// backing returns a descriptor of the backing file in a slot. The caller may do with it only what an O_PATH
// descriptor can.
func (u *Union) backing(n *Node, slot int) (*fdcache.Handle, error) {
	key := n.fdKey(slot)
	if h := u.fds.Get(key); h != nil {
		return h, nil
	}
	if open := n.openSlot(slot); open != slot {
		if h := u.fds.Get(n.fdKey(open)); h != nil {
			return h, nil
		}
	}
	fd, err := u.openBacking(n, slot, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	return u.fds.Add(key, fd), nil
}

// openBacking opens the backing file in a slot. It is the only place where a node becomes a path.
func (u *Union) openBacking(n *Node, slot int, flags int) (int, error) {
	if slot == fdcache.Upper {
		fd, err := u.openUpper(n, flags)
		return fd, n.fault("open", err)
	}
	p := n.lowers[slot]
	fd, err := u.openLower(n, p, flags)
	if err != nil {
		return -1, fault("open", p.Layer, p.Full(), err)
	}
	return fd, nil
}

// openLower opens a backing file in a lower. A file that lies deep is opened from the directory above, if that is
// open.
func (u *Union) openLower(n *Node, p layer.Place, flags int) (int, error) {
	if p.Base == nil {
		return p.Open(flags)
	}
	l, named := u.anyLink(n)
	if !named {
		return p.Open(flags)
	}
	for slot, dir := range l.parent.lowers {
		if !p.IsIn(dir, l.name) {
			continue
		}
		if h := u.fds.Get(l.parent.fdKey(slot)); h != nil {
			defer u.fds.Release(h)
			return beneath.OpenPath(h.FD, l.name, flags)
		}
	}
	return p.Open(flags)
}

// openUpper opens the backing file in the upper through any of its names. Between looking at the name and opening it,
// a rename may move the name or a directory above it. Then another file was opened, or none, and it is tried again
// with renames held off.
func (u *Union) openUpper(n *Node, flags int) (int, error) {
	fd, err := u.descend(n, flags)
	if !isStale(err) {
		return fd, err
	}
	u.moving.RLock()
	defer u.moving.RUnlock()
	return u.descend(n, flags)
}

func isStale(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) }

// descend opens the backing file of n in the upper, and those directories above it that are not open. If no name
// leads to the file, the error is ESTALE.
func (u *Union) descend(n *Node, flags int) (int, error) {
	if n == u.root {
		return beneath.Open(u.upper.Root, ".", flags, 0)
	}
	if h := u.fds.Get(n.fdKey(fdcache.Upper)); h != nil {
		defer u.fds.Release(h)
		return sys.Reopen(h.FD, flags)
	}
	want := u.upperIno(n)
	for _, l := range u.linksOf(n) {
		fd, err := u.descendLink(n, l, flags, want)
		if !isStale(err) {
			return fd, err
		}
	}
	if n.lowerKey.Ino == 0 {
		return -1, unix.ESTALE
	}
	return n.openVerified(u.work.Index, n.lowerKey.IndexName(), flags, want)
}

func (u *Union) upperIno(n *Node) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return n.upperKey.Ino
}

func (u *Union) descendLink(n *Node, l link, flags int, ino uint64) (int, error) {
	if !l.parent.inUpper.Load() {
		return -1, unix.ESTALE
	}
	key := l.parent.fdKey(fdcache.Upper)
	parent := u.fds.Get(key)
	if parent == nil {
		fd, err := u.descend(l.parent, unix.O_PATH)
		if err != nil {
			return -1, err
		}
		parent = u.fds.Add(key, fd)
	}
	defer u.fds.Release(parent)
	return n.openVerified(parent.FD, l.name, flags, ino)
}

// openVerified opens an entry of the upper that should be the backing file of n. If it is not, the error is ESTALE.
func (n *Node) openVerified(dirfd int, name string, flags int, ino uint64) (int, error) {
	fd, err := beneath.Open(dirfd, name, flags|unix.O_NONBLOCK, 0)
	if err == unix.ELOOP || err == unix.ENXIO || err == unix.ENOTDIR || err == unix.ENOENT {
		return -1, unix.ESTALE
	}
	if err != nil {
		return -1, err
	}
	st, err := sys.Stat(fd)
	if err == nil && (st.Ino != ino || st.Mode&unix.S_IFMT == unix.S_IFDIR != n.isDir()) {
		err = unix.ESTALE
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	n.account.Found(fd, &st)
	return fd, nil
}

// data returns a descriptor for reading a regular file and, if its data is in the upper, for writing it. Meta of n is
// held.
func (u *Union) data(n *Node) (*fdcache.Handle, error) {
	if n.inUpper.Load() && !n.dataInLower.Load() {
		h, err := u.openUpperData(n)
		if errors.Is(err, unix.EACCES) {
			return u.openForbidden(n)
		}
		return h, err
	}
	h, err := u.openData(n, fdcache.LowerData, n.dataSlot(), unix.O_RDONLY|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) { // O_NOATIME is for the file's owner
		h, err = u.openData(n, fdcache.LowerData, n.dataSlot(), unix.O_RDONLY)
	}
	return h, err
}

// openUpperData opens the data of a file in the upper.
func (u *Union) openUpperData(n *Node) (*fdcache.Handle, error) {
	flag := u.noAtime()
	h, err := u.openData(n, fdcache.UpperData, fdcache.Upper, unix.O_RDWR|flag)
	if flag != 0 && errors.Is(err, unix.EPERM) {
		h, err = u.openData(n, fdcache.UpperData, fdcache.Upper, unix.O_RDWR)
	}
	return h, err
}

// openForbidden opens the data of a file in the upper whose permissions forbid it. A container may have a file open
// for writing that is read-only by now, and a server without privileges could not open it.
func (u *Union) openForbidden(n *Node) (h *fdcache.Handle, err error) {
	backing, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return nil, err
	}
	defer u.fds.Release(backing)
	u.upper.Access.Lock()
	defer u.upper.Access.Unlock()
	err = sys.WithOwnerAccess(backing.FD, func() (err error) {
		h, err = u.openUpperData(n)
		return err
	})
	if err != nil && h != nil {
		u.fds.Release(h)
		h = nil
	}
	return h, err
}

func (u *Union) openData(n *Node, slot, of, flags int) (*fdcache.Handle, error) {
	key := n.fdKey(slot)
	if h := u.fds.Get(key); h != nil {
		return h, nil
	}
	fd, err := u.openFile(n, of, flags)
	if err != nil {
		return nil, err
	}
	st, err := sys.Stat(fd)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.ESTALE // the owner of the layer has replaced the file
	}
	if err == nil {
		err = n.checkSnapshot(&st)
	}
	if err != nil {
		unix.Close(fd)
		return nil, n.fault("open", err)
	}
	return u.fds.Add(key, fd), nil
}

// openFile opens the data of a backing file. If there is an O_PATH descriptor, it opens through that, because the
// file may have no name any more.
func (u *Union) openFile(n *Node, slot, flags int) (int, error) {
	if h := u.fds.Get(n.fdKey(slot)); h != nil {
		defer u.fds.Release(h)
		fd, err := sys.Reopen(h.FD, flags|unix.O_NONBLOCK)
		return fd, n.fault("open", err)
	}
	return u.openBacking(n, slot, flags)
}

// pin keeps the backing file of n open for as long as the node lives, because its last known name is about to go.
func (u *Union) pin(n *Node) error {
	if n.foreign != nil && !n.inUpper.Load() {
		return nil
	}
	slot := n.firstSlot()
	h, err := u.backing(n, slot)
	if err != nil {
		return err
	}
	u.fds.Pin(h, slot)
	u.fds.Release(h)
	return nil
}
