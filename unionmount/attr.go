package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Attr are the attributes of a node as stat(2) shows them.
type Attr struct {
	Ino     uint64
	Mode    uint32 // type and permissions
	Nlink   uint32
	UID     uint32
	GID     uint32
	Rdev    uint64
	Size    int64
	Blocks  int64 // of 512 bytes
	Blksize int64
	Atime   unix.Timespec
	Mtime   unix.Timespec
	Ctime   unix.Timespec
}

// Getattr returns the attributes of a node.
func (u *Union) Getattr(n *Node) (Attr, error) {
	n.meta.RLock()
	defer n.meta.RUnlock()
	return u.attrHeld(n)
}

// attrHeld is Getattr with meta held.
func (u *Union) attrHeld(n *Node) (Attr, error) {
	st, err := u.statBacking(n)
	if err != nil {
		return Attr{}, err
	}
	return u.attrFrom(n, &st)
}

// attrOf returns the attributes of a node that was just found as o.
func (u *Union) attrOf(n *Node, o *object) (Attr, error) {
	n.meta.RLock()
	defer n.meta.RUnlock()
	if n.inUpper.Load() != o.inUpper || n.borrows.Load() != (o.top.data != nil) { // it changed since it was found
		return u.attrHeld(n)
	}
	return u.attrFrom(n, &o.top.st)
}

// statBacking stats the file that shows, without opening it where no descriptor is open.
func (u *Union) statBacking(n *Node) (unix.Stat_t, error) {
	if !n.inUpper.Load() && n.foreign != nil {
		return *n.foreign, nil
	}
	if !n.inUpper.Load() && n.still != nil {
		return n.still.Stat_t, nil
	}
	slot := n.firstSlot()
	h, err := u.backing(n, slot)
	if err != nil {
		return unix.Stat_t{}, err
	}
	defer u.fds.release(h)
	st, err := statFD(h.fd)
	return st, n.fault("stat", err)
}

// attrFrom combines what the backing file says with what it stands for. Meta of n is held.
func (u *Union) attrFrom(n *Node, st *unix.Stat_t) (Attr, error) {
	a := Attr{
		Ino: n.ino, Mode: n.stat.Mode, UID: n.stat.UID, GID: n.stat.GID, Rdev: n.stat.Rdev,
		Size: st.Size, Blocks: st.Blocks, Blksize: int64(st.Blksize),
		Atime: n.shownAtime(st.Atim), Mtime: st.Mtim, Ctime: st.Ctim,
	}
	if n.kind != unix.S_IFREG && n.kind != unix.S_IFDIR && n.kind != unix.S_IFLNK {
		a.Size, a.Blocks = 0, 0
	}
	a.Nlink = n.nlink(uint32(st.Nlink))
	if !n.inUpper.Load() && n.hidden.last.Nano() > a.Ctime.Nano() {
		a.Ctime = n.hidden.last
	}
	if !n.borrows.Load() {
		return a, nil
	}
	below, err := u.statBelow(n)
	a.Size, a.Blocks = below.Size, below.Blocks
	return a, err
}

// nlink counts names.
func (n *Node) nlink(backing uint32) uint32 {
	switch {
	case n.dead.Load():
		return 0
	case n.isDir() && n.u.opts.StaticNlink:
		return 1
	case n.isDir() && n.firstSlot() < n.layers()-1:
		return n.u.mergedNlink(n, backing)
	case n.isDir():
		return backing
	case n.inUpper.Load() && n.group != nil:
		return n.group.nlink(backing)
	case n.inUpper.Load():
		return backing
	}
	return backing - min(n.hidden.names, backing)
}

// SetAttr says what Setattr changes; nil fields stay.
type SetAttr struct {
	Mode         *uint32 // permission bits
	UID, GID     *uint32
	Size         *int64
	Atime, Mtime *unix.Timespec // Nsec may be unix.UTIME_NOW
	// KillPriv drops suid and sgid, as a change of the size by a caller without CAP_FSETID must. A change of owner
	// drops them always. By tells which.
	KillPriv bool
	// OwnerOnly has KillPriv hold for the owner and root alone.
	OwnerOnly bool
	By        Caller
}

// Setattr changes attributes of a node and returns all of them.
func (u *Union) Setattr(n *Node, in SetAttr) (Attr, error) {
	if in.Size != nil && n.kind != unix.S_IFREG {
		return Attr{}, unix.EINVAL
	}
	if err := u.copyUp(n, in.needs()); err != nil {
		return Attr{}, err
	}
	if err := u.convertLink(n, in, false); err != nil {
		return Attr{}, err
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	defer u.settleAll(n)
	if err := u.setattrHeld(n, in); err != nil {
		return Attr{}, n.fault("set attributes of", err)
	}
	return u.attrHeld(n)
}

// needs tells which data a file must have for the change.
func (in *SetAttr) needs() content {
	switch {
	case in.Size == nil:
		return contentBelow
	case *in.Size == 0:
		return contentNone
	}
	return contentOwn
}

func (u *Union) setattrHeld(n *Node, in SetAttr) error {
	if in.Size != nil {
		if err := u.truncateHeld(n, *in.Size); err != nil {
			return err
		}
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	if err := u.changeIdentity(n, h.fd, in); err != nil {
		return err
	}
	if in.Atime == nil && in.Mtime == nil {
		return nil
	}
	if in.Atime != nil {
		n.readAt.Store(0)
	}
	return setTimes(h.fd, timeOrOmit(in.Atime), timeOrOmit(in.Mtime))
}

// changeIdentity changes owner and mode, and what goes with them. fd is of the backing file in the upper. Meta of n is
// held.
func (u *Union) changeIdentity(n *Node, fd int, in SetAttr) error {
	if in.OwnerOnly && in.By.UID != 0 && in.By.UID != n.stat.UID {
		in.KillPriv = false
	}
	if in.UID != nil || in.GID != nil || in.Size != nil || in.KillPriv {
		if err := u.dropCaps(n, fd); err != nil {
			return err
		}
	}
	id := in.apply(n.stat)
	touched := in.Mode != nil || in.UID != nil || in.GID != nil || in.KillPriv && in.Size == nil
	if id == n.stat && !touched {
		return nil
	}
	if in.Mode != nil {
		if err := u.chmodACL(n, fd, *in.Mode); err != nil {
			return err
		}
	}
	return u.upper.change(fd, &n.stat, id)
}

func timeOrOmit(t *unix.Timespec) unix.Timespec {
	if t == nil {
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return *t
}

// apply returns old as in changes it.
func (in *SetAttr) apply(old layerfmt.Stat) layerfmt.Stat {
	id := old
	if in.UID != nil {
		id.UID = *in.UID
	}
	if in.GID != nil {
		id.GID = *in.GID
	}
	if in.UID != nil || in.GID != nil || in.KillPriv {
		id.Mode = in.By.strip(old)
	}
	if in.Mode != nil {
		id.Mode = id.Mode&^0o7777 | *in.Mode&0o7777
	}
	return id
}
