package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Owner is whom a new entry belongs to, in the container's ids.
type Owner struct{ UID, GID uint32 }

// Create makes an empty regular file. Like all that make an entry, it returns the entry's node looked up once, and
// EEXIST when there is one already.
func (u *Union) Create(dir *Node, name string, perm uint32, owner Owner) (*Node, Attr, error) {
	return u.Mknod(dir, name, unix.S_IFREG|perm, 0, owner)
}

// Mknod makes a file of the type that mode says, but for directories and symbolic links.
func (u *Union) Mknod(dir *Node, name string, mode uint32, rdev uint64, owner Owner) (*Node, Attr, error) {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK:
		rdev = 0
	case unix.S_IFCHR, unix.S_IFBLK:
	default:
		return nil, Attr{}, unix.EINVAL
	}
	id := layerfmt.Stat{UID: owner.UID, GID: owner.GID, Mode: mode & (unix.S_IFMT | 0o7777), Rdev: rdev}
	if u.upper != nil && u.upper.isWhiteout(id) {
		return nil, Attr{}, unix.EPERM
	}
	return u.create(dir, name, id, "")
}

// Mkdir makes a directory.
func (u *Union) Mkdir(dir *Node, name string, perm uint32, owner Owner) (*Node, Attr, error) {
	id := layerfmt.Stat{UID: owner.UID, GID: owner.GID, Mode: unix.S_IFDIR | perm&0o7777}
	return u.create(dir, name, id, "")
}

// Symlink makes a symbolic link.
func (u *Union) Symlink(dir *Node, name, target string, owner Owner) (*Node, Attr, error) {
	switch {
	case target == "":
		return nil, Attr{}, unix.ENOENT
	case len(target) >= unix.PathMax:
		return nil, Attr{}, unix.ENAMETOOLONG
	}
	id := layerfmt.Stat{UID: owner.UID, GID: owner.GID, Mode: unix.S_IFLNK | 0o777}
	return u.create(dir, name, id, target)
}

// create is the one way in which an entry comes into being.
func (u *Union) create(dir *Node, name string, id layerfmt.Stat, target string) (*Node, Attr, error) {
	if err := u.prepareNew(dir, name); err != nil {
		return nil, Attr{}, err
	}
	dir.entries.Lock()
	defer dir.entries.Unlock()
	m, err := u.vacant(dir, name)
	if err != nil {
		return nil, Attr{}, err
	}
	id, acls, err := u.inheritACLs(dir, dir.inherit(id))
	if err != nil {
		return nil, Attr{}, err
	}
	g, err := u.quota.entry()
	if err != nil {
		return nil, Attr{}, dir.fault("make "+name+" in", err)
	}
	defer g.release()
	defer u.settleAll(dir)
	o, fd, err := u.makeEntry(dir, name, m, id, target, acls)
	if err != nil {
		dir.listing.doubt(name)
		return nil, Attr{}, dir.fault("make "+name+" in", err)
	}
	dir.listing.add(name)
	n := u.adopt(dir, name, o)
	dir.changeSubdirs(n.oneIfDir())
	if n.isDir() {
		n.listing.startEmpty()
		u.madeDir(n, dir)
	}
	n.madeNow(acls.none() && u.upper.xattrsAreOurs())
	u.settle(n, fd, &g)
	u.keepOpen(n, fd)
	a, err := u.attrOf(n, o)
	return n, a, err
}

// prepareNew makes dir ready to take a new name.
func (u *Union) prepareNew(dir *Node, name string) error {
	if err := checkNewName(name); err != nil {
		return err
	}
	if !dir.isDir() {
		return unix.ENOTDIR
	}
	if err := u.checkDepth(dir); err != nil {
		return err
	}
	return u.copyUp(dir, contentBelow)
}

// vacant checks that dir has no such name, and returns what the upper has there instead. Entries of dir are held.
func (u *Union) vacant(dir *Node, name string) (mark, error) {
	if dir.dead.Load() {
		return markNone, unix.ENOENT
	}
	o, err := u.find(dir, name)
	exists, err := visible(err)
	if err == nil && exists {
		err = unix.EEXIST
	}
	return o.mark, err
}

// inherit gives a new entry of dir what a setgid directory passes on.
func (dir *Node) inherit(id layerfmt.Stat) layerfmt.Stat {
	dir.meta.RLock()
	defer dir.meta.RUnlock()
	if dir.stat.Mode&unix.S_ISGID == 0 {
		return id
	}
	id.GID = dir.stat.GID
	if id.Mode&unix.S_IFMT == unix.S_IFDIR {
		id.Mode |= unix.S_ISGID
	}
	return id
}

// keepOpen takes over the descriptor that the backing file of n was made with: what is made is mostly used at once.
func (u *Union) keepOpen(n *Node, fd int) {
	slot := slotUpper
	if n.kind == unix.S_IFREG {
		slot = slotData
	}
	u.fds.release(u.fds.add(fdKey{n, slot}, fd))
}

// madeNow notes what is known of a file that has just been made: it has no capabilities yet, and is bare or not.
func (n *Node) madeNow(bare bool) {
	n.meta.Lock()
	defer n.meta.Unlock()
	n.caps, n.bare = capsNone, bare
}

// makeEntry makes an entry in the upper. The descriptor that it returns, as in draft.fd, is the caller's.
func (u *Union) makeEntry(dir *Node, name string, m mark, id layerfmt.Stat, target string, acls birthACLs) (_ *object, fd int, err error) {
	parent, err := u.backing(dir, slotUpper)
	if err != nil {
		return nil, -1, err
	}
	defer u.fds.release(parent)
	d := u.newDraftFor(id, m, acls, parent.fd, name)
	defer d.discard()
	if err := d.make(id, target); err != nil {
		return nil, -1, err
	}
	if err := d.giveACLs(acls); err != nil {
		return nil, -1, err
	}
	if d.isDir() && m != markNone {
		if err := d.makeOpaque(); err != nil {
			return nil, -1, err
		}
	}
	if err := d.publish(parent.fd, name, m); err != nil {
		return nil, -1, err
	}
	st, err := statFD(d.fd)
	if err != nil {
		return nil, -1, err
	}
	return &object{top: &probed{st: st, id: id}, topLayer: u.upper, inUpper: true, made: true}, d.take(), nil
}

// Link gives a node that is not a directory another name. It counts as a lookup of the node.
func (u *Union) Link(n *Node, dir *Node, name string) (Attr, error) {
	if n.isDir() {
		return Attr{}, unix.EPERM
	}
	if err := u.prepareNew(dir, name); err != nil {
		return Attr{}, err
	}
	if err := u.copyUp(n, contentBelow); err != nil {
		return Attr{}, err
	}
	if err := u.anchor(n); err != nil {
		return Attr{}, err
	}
	if err := u.convertLink(n, SetAttr{}, true); err != nil {
		return Attr{}, err
	}
	dir.entries.Lock()
	defer dir.entries.Unlock()
	m, err := u.vacant(dir, name)
	if err != nil {
		return Attr{}, err
	}
	g, err := u.quota.reserve(usage{})
	if err != nil {
		return Attr{}, dir.fault("make "+name+" in", err)
	}
	defer g.release()
	defer u.settleAll(n, dir)
	n.meta.Lock()
	defer n.meta.Unlock()
	if err := u.linkTo(n, dir, name, m); err != nil {
		dir.listing.doubt(name)
		return Attr{}, n.fault("link", err)
	}
	dir.listing.add(name)
	u.lookedUp(n, link{dir, name})
	return u.attrHeld(n)
}

// linkTo makes a hard link of the backing file of n in the upper.
func (u *Union) linkTo(n *Node, dir *Node, name string, m mark) error {
	parent, err := u.backing(dir, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(parent)
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	from := beneath.ProcPath(h.fd)
	if m != markEntry {
		if err := unix.Linkat(unix.AT_FDCWD, from, parent.fd, name, unix.AT_SYMLINK_FOLLOW); err != nil {
			return err
		}
		return clearMark(parent.fd, name, m)
	}
	tmp := u.stage.name()
	if err := unix.Linkat(unix.AT_FDCWD, from, u.stage.dir, tmp, unix.AT_SYMLINK_FOLLOW); err != nil {
		return err
	}
	if err := unix.Renameat(u.stage.dir, tmp, parent.fd, name); err != nil {
		unix.Unlinkat(u.stage.dir, tmp, 0) // else it goes with the next Open
		return err
	}
	return nil
}
