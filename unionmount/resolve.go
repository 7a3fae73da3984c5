package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
)

// firstSlot is where the stack of a node's backing files begins: with the file that shows.
func (n *Node) firstSlot() int {
	if n.inUpper.Load() {
		return slotUpper
	}
	return 0
}

// layers returns how many lowers there are in which the names of a directory are looked for.
func (n *Node) layers() int {
	if n.whole.Load() {
		return 0
	}
	return len(n.lowers)
}

// dataSlot is where the data of a regular file is that has none in the upper.
func (n *Node) dataSlot() int { return len(n.lowers) - 1 }

func (n *Node) layerAt(slot int) *layer {
	if slot == slotUpper {
		return n.u.upper
	}
	return n.lowers[slot].layer
}

// openSlot is the slot of the descriptor with which the data is open of a regular file's backing file in a slot; the
// slot itself if that is never open.
func (n *Node) openSlot(slot int) int {
	switch {
	case n.kind != unix.S_IFREG:
		return slot
	case slot == slotUpper:
		return slotData
	case slot == n.dataSlot():
		return slotLowerData
	}
	return slot
}

// topLayer returns the layer of the file that shows; of a mount point, which has no place in one, the topmost.
func (n *Node) topLayer() *layer {
	if slot := n.firstSlot(); slot < len(n.lowers) {
		return n.layerAt(slot)
	}
	return n.u.stack()[0]
}

// backing returns a descriptor of one of a node's backing files, that of a lower by index or the upper's, to be used
// as one opened with O_PATH.
func (u *Union) backing(n *Node, slot int) (*handle, error) {
	key := fdKey{n, slot}
	if h := u.fds.get(key); h != nil {
		return h, nil
	}
	if open := n.openSlot(slot); open != slot {
		if h := u.fds.get(fdKey{n, open}); h != nil {
			return h, nil
		}
	}
	fd, err := u.openBacking(n, slot, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	return u.fds.add(key, fd), nil
}

// openBacking is the one place where a node becomes a path.
func (u *Union) openBacking(n *Node, slot int, flags int) (int, error) {
	if slot == slotUpper {
		fd, err := u.openUpper(n, flags)
		return fd, n.fault("open", err)
	}
	p := n.lowers[slot]
	fd, err := u.openLower(n, p, flags)
	if err != nil {
		return -1, fault("open", p.layer, p.full(), err)
	}
	return fd, nil
}

// openLower opens a backing file in a lower. One that lies deep is opened from the directory above where that is open.
func (u *Union) openLower(n *Node, p place, flags int) (int, error) {
	if p.base == nil {
		return p.open(flags)
	}
	l, named := u.anyLink(n)
	if !named {
		return p.open(flags)
	}
	for slot, dir := range l.parent.lowers {
		if !p.isIn(dir, l.name) {
			continue
		}
		if h := u.fds.get(fdKey{l.parent, slot}); h != nil {
			defer u.fds.release(h)
			return beneath.OpenPath(h.fd, l.name, flags)
		}
	}
	return p.open(flags)
}

// openUpper opens the backing file in the upper through any of its names. A rename may move a name, or one of the
// directories above it, between the look at the name and the opening; then what was opened is another file or none,
// and it is tried again with renames held off.
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

// descend opens the backing file of n in the upper, with the directories above it where they are not open. That no
// name leads to it is ESTALE.
func (u *Union) descend(n *Node, flags int) (int, error) {
	if n == u.root {
		return openat(u.upper.root, ".", flags, 0)
	}
	if h := u.fds.get(fdKey{n, slotUpper}); h != nil {
		defer u.fds.release(h)
		return reopen(h.fd, flags)
	}
	want := u.upperIno(n)
	for _, l := range u.linksOf(n) {
		fd, err := u.descendLink(n, l, flags, want)
		if !isStale(err) {
			return fd, err
		}
	}
	if n.lowerKey.ino == 0 {
		return -1, unix.ESTALE
	}
	return n.openVerified(u.stage.index, n.lowerKey.indexName(), flags, want)
}

func (u *Union) upperIno(n *Node) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return n.upperKey.ino
}

func (u *Union) descendLink(n *Node, l link, flags int, ino uint64) (int, error) {
	if !l.parent.inUpper.Load() {
		return -1, unix.ESTALE
	}
	key := fdKey{l.parent, slotUpper}
	parent := u.fds.get(key)
	if parent == nil {
		fd, err := u.descend(l.parent, unix.O_PATH)
		if err != nil {
			return -1, err
		}
		parent = u.fds.add(key, fd)
	}
	defer u.fds.release(parent)
	return n.openVerified(parent.fd, l.name, flags, ino)
}

// openVerified opens an entry of the upper that is expected to be the backing file of n. That it is not is ESTALE.
func (n *Node) openVerified(dirfd int, name string, flags int, ino uint64) (int, error) {
	fd, err := openat(dirfd, name, flags|unix.O_NONBLOCK, 0)
	if err == unix.ELOOP || err == unix.ENXIO || err == unix.ENOTDIR || err == unix.ENOENT {
		return -1, unix.ESTALE
	}
	if err != nil {
		return -1, err
	}
	st, err := statFD(fd)
	if err == nil && (st.Ino != ino || st.Mode&unix.S_IFMT == unix.S_IFDIR != n.isDir()) {
		err = unix.ESTALE
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	n.account.found(fd, &st)
	return fd, nil
}

// data returns a descriptor for reading a regular file and, if its data is in the upper, for writing it. Meta of n is
// held.
func (u *Union) data(n *Node) (*handle, error) {
	if n.inUpper.Load() && !n.borrows.Load() {
		h, err := u.openUpperData(n)
		if errors.Is(err, unix.EACCES) {
			return u.openForbidden(n)
		}
		return h, err
	}
	h, err := u.openData(n, slotLowerData, n.dataSlot(), unix.O_RDONLY|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) { // O_NOATIME is for the file's owner
		h, err = u.openData(n, slotLowerData, n.dataSlot(), unix.O_RDONLY)
	}
	return h, err
}

// openUpperData opens the data of a file in the upper.
func (u *Union) openUpperData(n *Node) (*handle, error) {
	flag := u.noAtime()
	h, err := u.openData(n, slotData, slotUpper, unix.O_RDWR|flag)
	if flag != 0 && errors.Is(err, unix.EPERM) {
		h, err = u.openData(n, slotData, slotUpper, unix.O_RDWR)
	}
	return h, err
}

// openForbidden opens the data of a file in the upper whose permissions forbid it: where the server has no privileges,
// a file may be open for writing and yet be read-only.
func (u *Union) openForbidden(n *Node) (h *handle, err error) {
	backing, err := u.backing(n, slotUpper)
	if err != nil {
		return nil, err
	}
	defer u.fds.release(backing)
	u.access.Lock()
	defer u.access.Unlock()
	err = withOwnerAccess(backing.fd, func() (err error) {
		h, err = u.openUpperData(n)
		return err
	})
	if err != nil && h != nil {
		u.fds.release(h)
		h = nil
	}
	return h, err
}

func (u *Union) openData(n *Node, slot, of, flags int) (*handle, error) {
	key := fdKey{n, slot}
	if h := u.fds.get(key); h != nil {
		return h, nil
	}
	fd, err := u.openFile(n, of, flags)
	if err != nil {
		return nil, err
	}
	st, err := statFD(fd)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.ESTALE // whoever owns the layer replaced the file
	}
	if err == nil {
		err = n.checkStill(&st)
	}
	if err != nil {
		unix.Close(fd)
		return nil, n.fault("open", err)
	}
	return u.fds.add(key, fd), nil
}

// openFile opens the data of a backing file, through its O_PATH descriptor where there is one: the file may have no
// name any more.
func (u *Union) openFile(n *Node, slot, flags int) (int, error) {
	if h := u.fds.get(fdKey{n, slot}); h != nil {
		defer u.fds.release(h)
		fd, err := reopen(h.fd, flags|unix.O_NONBLOCK)
		return fd, n.fault("open", err)
	}
	return u.openBacking(n, slot, flags)
}

// pin keeps the backing file of n open for as long as the node lives, since its last known name is about to go.
func (u *Union) pin(n *Node) error {
	if n.foreign != nil && !n.inUpper.Load() {
		return nil
	}
	h, err := u.backing(n, n.firstSlot())
	if err != nil {
		return err
	}
	u.fds.pin(h)
	u.fds.release(h)
	return nil
}
