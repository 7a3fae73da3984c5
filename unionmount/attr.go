package unionmount

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
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

// attrHeld is Getattr for a caller that holds meta.
func (u *Union) attrHeld(n *Node) (Attr, error) {
	st, err := u.statBacking(n)
	if err != nil {
		return Attr{}, err
	}
	return u.attrFrom(n, &st)
}

// attrOf returns the attributes of a node that a lookup has just found as o.
func (u *Union) attrOf(n *Node, o *object) (Attr, error) {
	n.meta.RLock()
	defer n.meta.RUnlock()
	if n.inUpper.Load() != o.inUpper || n.dataInLower.Load() != (o.top.Data != nil) { // it changed since it was found
		return u.attrHeld(n)
	}
	return u.attrFrom(n, &o.top.Stat)
}

// statBacking returns the attributes of the file that shows. It opens the file only if they are not known.
func (u *Union) statBacking(n *Node) (unix.Stat_t, error) {
	if !n.inUpper.Load() && n.foreign != nil {
		return *n.foreign, nil
	}
	if !n.inUpper.Load() && n.snapshot != nil {
		return n.snapshot.Stat_t, nil
	}
	slot := n.firstSlot()
	h, err := u.backing(n, slot)
	if err != nil {
		return unix.Stat_t{}, err
	}
	defer u.fds.Release(h)
	st, err := sys.Stat(h.FD)
	return st, n.fault("stat", err)
}

// attrFrom combines the attributes of the backing file with the identity of the entry. Meta of n is held.
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
	if !n.inUpper.Load() && n.hidden.Last.Nano() > a.Ctime.Nano() {
		a.Ctime = n.hidden.Last
	}
	if !n.dataInLower.Load() {
		return a, nil
	}
	below, err := u.statBelow(n)
	a.Size, a.Blocks = below.Size, below.Blocks
	return a, err
}

// nlink returns the link count, given that of the backing file.
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
		return n.group.Nlink(backing)
	case n.inUpper.Load():
		return backing
	}
	return backing - min(n.hidden.Names, backing)
}

// SetAttr says what Setattr changes. Attributes whose field is nil stay.
type SetAttr struct {
	Mode         *uint32 // permission bits
	UID, GID     *uint32
	Size         *int64
	Atime, Mtime *unix.Timespec // Nsec may be unix.UTIME_NOW
	// KillPriv drops suid and sgid, as a change of the size by a caller without CAP_FSETID must. A change of owner
	// always drops them. Which of the two bits are dropped depends on By.
	KillPriv bool
	// OwnerOnly makes KillPriv count for the owner and root alone.
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

// needs returns the content that a file must have in the upper for the change.
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
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	if err := u.changeIdentity(n, h.FD, in); err != nil {
		return err
	}
	if in.Atime == nil && in.Mtime == nil {
		return nil
	}
	if in.Atime != nil {
		n.readAt.Store(0)
	}
	return sys.SetTimes(h.FD, timeOrOmit(in.Atime), timeOrOmit(in.Mtime))
}

// changeIdentity changes owner and mode, and drops capabilities and changes the ACL to fit. fd is the backing file in
// the upper. Meta of n is held.
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
	return u.upper.Change(fd, &n.stat, id)
}

func timeOrOmit(t *unix.Timespec) unix.Timespec {
	if t == nil {
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return *t
}

// apply returns the identity that the change makes of old.
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

// flagIoctl returns the size of the value of an ioctl that reads or sets the flags of lsattr(1) and chattr(1), or 0
// for any other ioctl. FS_IOC_FSGETXATTR is one of them, because the kernel reads it before it sets flags.
// FS_IOC_FSSETXATTR is not, because it could set a project id, which would take a file out of the host's quota.
func flagIoctl(request uint32) (size int, sets bool) {
	switch request {
	case unix.FS_IOC_GETFLAGS:
		return 4, false
	case unix.FS_IOC_SETFLAGS:
		return 4, true
	case fsGetXattr:
		return 28, false
	}
	return 0, false
}

// fsGetXattr is FS_IOC_FSGETXATTR of most architectures. On the others no request has this number, and flags cannot
// be set.
const fsGetXattr = 0x801c581f

// flagAppend is FS_APPEND_FL: data can only be appended to the file.
const flagAppend = 0x20

// Ioctl does an ioctl(2) on the flags of a regular file or directory. It reads the flags of the file that shows into
// value, or sets the flags of the file in the upper. A copy-up does not keep flags. All other requests are ENOTTY.
// Setting the append-only flag is EOPNOTSUPP, because the kernel would have to check who may open and remove such a
// file, and is not told of the flag.
func (u *Union) Ioctl(n *Node, request uint32, value []byte) error {
	size, sets := flagIoctl(request)
	if size == 0 || len(value) < size {
		return unix.ENOTTY
	}
	if sets && binary.NativeEndian.Uint32(value)&flagAppend != 0 {
		return unix.EOPNOTSUPP
	}
	if sets {
		if err := u.copyUp(n, contentBelow); err != nil {
			return err
		}
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	return n.fault("read or set flags of", u.withOpen(n, func(fd int) error { return ioctl(fd, request, value) }))
}

func ioctl(fd int, request uint32, value []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&value[0])))
	if errno != 0 {
		return errno
	}
	return nil
}

// withOpen calls do with the backing file that shows, open for reading. Meta of n is held.
func (u *Union) withOpen(n *Node, do func(fd int) error) error {
	if n.kind != unix.S_IFREG && n.kind != unix.S_IFDIR || n.foreign != nil && !n.inUpper.Load() {
		return unix.ENOTTY
	}
	h, err := u.backing(n, n.firstSlot())
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	fd, err := sys.Reopen(h.FD, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return do(fd)
}
