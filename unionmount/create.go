package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// Owner is the owner of a new entry, in the container's ids.
type Owner struct{ UID, GID uint32 }

// Create makes an empty regular file. Like all methods that make an entry, it returns the node of the entry, looked
// up once, and EEXIST if the name exists.
func (u *Union) Create(dir *Node, name string, perm uint32, owner Owner) (*Node, Attr, error) {
	return u.Mknod(dir, name, unix.S_IFREG|perm, 0, owner)
}

// Mknod makes a file of the type in mode, which is not a directory or a symbolic link.
func (u *Union) Mknod(dir *Node, name string, mode uint32, rdev uint64, owner Owner) (*Node, Attr, error) {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK:
		rdev = 0
	case unix.S_IFCHR, unix.S_IFBLK:
	default:
		return nil, Attr{}, unix.EINVAL
	}
	id := layerfmt.Stat{UID: owner.UID, GID: owner.GID, Mode: mode & (unix.S_IFMT | 0o7777), Rdev: rdev}
	if u.upper != nil && u.upper.IsWhiteout(id) {
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

// create makes an entry. All new entries are made here.
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
	g, err := u.quota.ReserveFile()
	if err != nil {
		return nil, Attr{}, dir.fault("make "+name+" in", err)
	}
	defer g.Release()
	defer u.settleAll(dir)
	o, fd, err := u.makeEntry(dir, name, m, id, target, acls)
	if err != nil {
		dir.listing.Doubt(name)
		return nil, Attr{}, dir.fault("make "+name+" in", err)
	}
	dir.listing.Add(name)
	n := u.adopt(dir, name, o)
	dir.changeSubdirs(n.oneIfDir())
	if n.isDir() {
		n.listing.StartEmpty()
		u.madeDir(n, dir)
	}
	n.madeNow(acls.none() && u.upper.XattrsAreOurs())
	n.account.Settle(fd, &g)
	u.keepOpen(n, fd)
	a, err := u.attrOf(n, o)
	return n, a, err
}

// prepareNew checks a new name of dir, and copies dir up.
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

// vacant checks that dir has no such name, and returns the whiteout that the upper has there. Entries of dir are
// held.
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

// inherit returns the identity of a new entry of dir: a setgid directory passes on its group, and to directories
// sgid.
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

// keepOpen takes over the descriptor that the backing file of n was made with, because most new files are used at
// once.
func (u *Union) keepOpen(n *Node, fd int) {
	slot := fdcache.Upper
	if n.kind == unix.S_IFREG {
		slot = fdcache.UpperData
	}
	u.fds.Release(u.fds.Add(n.fdKey(slot), fd))
}

// madeNow notes what is known of a new file: it has no capabilities, and it is bare or not.
func (n *Node) madeNow(bare bool) {
	n.meta.Lock()
	defer n.meta.Unlock()
	n.caps, n.bare = capsNone, bare
}

// makeEntry makes an entry in the upper. The caller owns the descriptor, which is that of the draft.
func (u *Union) makeEntry(dir *Node, name string, m mark, id layerfmt.Stat, target string,
	acls birthACLs) (_ *object, fd int, err error) {
	parent, err := u.backing(dir, fdcache.Upper)
	if err != nil {
		return nil, -1, err
	}
	defer u.fds.Release(parent)
	d := u.newDraftFor(id, m, acls, parent.FD, name)
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
	if err := d.publish(parent.FD, name, m); err != nil {
		return nil, -1, err
	}
	st, err := sys.Stat(d.fd)
	if err != nil {
		return nil, -1, err
	}
	return &object{top: &layer.Probed{Stat: st, ID: id}, topLayer: u.upper, inUpper: true, made: true}, d.take(), nil
}

// Link gives a node that is not a directory another name. This counts as a lookup of the node.
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
	g, err := u.quota.Reserve(quota.Usage{})
	if err != nil {
		return Attr{}, dir.fault("make "+name+" in", err)
	}
	defer g.Release()
	defer u.settleAll(n, dir)
	n.meta.Lock()
	defer n.meta.Unlock()
	if err := u.linkTo(n, dir, name, m); err != nil {
		dir.listing.Doubt(name)
		return Attr{}, n.fault("link", err)
	}
	dir.listing.Add(name)
	u.lookedUp(n, link{dir, name})
	return u.attrHeld(n)
}

// linkTo makes a hard link of the backing file of n in the upper.
func (u *Union) linkTo(n *Node, dir *Node, name string, m mark) error {
	parent, err := u.backing(dir, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(parent)
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	from := beneath.ProcPath(h.FD)
	if m != markEntry {
		if err := unix.Linkat(unix.AT_FDCWD, from, parent.FD, name, unix.AT_SYMLINK_FOLLOW); err != nil {
			return err
		}
		return clearMark(parent.FD, name, m)
	}
	tmp := u.work.NewName()
	if err := unix.Linkat(unix.AT_FDCWD, from, u.work.Drafts, tmp, unix.AT_SYMLINK_FOLLOW); err != nil {
		return err
	}
	if err := unix.Renameat(u.work.Drafts, tmp, parent.FD, name); err != nil {
		unix.Unlinkat(u.work.Drafts, tmp, 0) // if this fails, the next Open removes it
		return err
	}
	return nil
}

// Tmpfile makes a regular file that belongs to a directory but has no name, until Link gives it one. It counts as a
// lookup. EOPNOTSUPP where the upper's filesystem has no such files.
func (u *Union) Tmpfile(dir *Node, perm uint32, owner Owner) (*Node, Attr, error) {
	if u.upper == nil {
		return nil, Attr{}, unix.EROFS
	}
	if !dir.isDir() {
		return nil, Attr{}, unix.ENOTDIR
	}
	if dir.dead.Load() {
		return nil, Attr{}, unix.ENOENT
	}
	id := dir.inherit(layerfmt.Stat{UID: owner.UID, GID: owner.GID, Mode: unix.S_IFREG | perm&0o7777})
	id, acls, err := u.inheritACLs(dir, id)
	if err != nil {
		return nil, Attr{}, err
	}
	n, a, err := u.makeUnnamed(id, acls)
	return n, a, dir.fault("make a file without name in", err)
}

func (u *Union) makeUnnamed(id layerfmt.Stat, acls birthACLs) (*Node, Attr, error) {
	g, err := u.quota.ReserveFile()
	if err != nil {
		return nil, Attr{}, err
	}
	defer g.Release()
	d := u.newDraft()
	defer d.discard()
	if err := d.makeUnnamed(id); err != nil {
		return nil, Attr{}, err
	}
	if err := d.giveACLs(acls); err != nil {
		return nil, Attr{}, err
	}
	fd, err := sys.Reopen(d.fd, unix.O_PATH)
	if err != nil {
		return nil, Attr{}, err
	}
	n := u.adopt(nil, "", &object{top: &layer.Probed{Stat: d.st, ID: id}, topLayer: u.upper, inUpper: true, made: true})
	n.account.Settle(fd, &g)
	h := u.fds.Add(n.fdKey(fdcache.Upper), fd)
	u.fds.Pin(h, fdcache.Upper)
	u.fds.Release(h)
	u.mayBeGone(n)
	d.placed = true
	a, err := u.Getattr(n)
	return n, a, err
}

// makeUnnamed is make for a regular file without a name.
func (d *draft) makeUnnamed(id layerfmt.Stat) (err error) {
	d.fd, err = beneath.Open(d.dirfd, ".", unix.O_TMPFILE|unix.O_RDWR|d.u.noAtime(), d.u.upper.Backing(id)&0o777)
	if err == unix.EISDIR { // as kernels and filesystems say that do not know O_TMPFILE
		err = unix.EOPNOTSUPP
	}
	if err != nil {
		return err
	}
	return d.identify(id)
}
