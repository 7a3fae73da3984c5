package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

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
	g, err := u.quota.entry()
	if err != nil {
		return nil, Attr{}, err
	}
	defer g.release()
	d := u.newDraft()
	defer d.discard()
	if err := d.makeUnnamed(id); err != nil {
		return nil, Attr{}, err
	}
	if err := d.giveACLs(acls); err != nil {
		return nil, Attr{}, err
	}
	fd, err := reopen(d.fd, unix.O_PATH)
	if err != nil {
		return nil, Attr{}, err
	}
	n := u.adopt(nil, "", &object{top: &probed{st: d.st, id: id}, topLayer: u.upper, inUpper: true, made: true})
	u.settle(n, fd, &g)
	h := u.fds.add(fdKey{n, slotUpper}, fd)
	u.fds.pin(h)
	u.fds.release(h)
	u.mayBeGone(n)
	d.placed = true
	a, err := u.Getattr(n)
	return n, a, err
}

// makeUnnamed is make for a regular file without a name.
func (d *draft) makeUnnamed(id layerfmt.Stat) (err error) {
	d.fd, err = openat(d.dirfd, ".", unix.O_TMPFILE|unix.O_RDWR|d.u.noAtime(), d.u.upper.backing(id)&0o777)
	if err == unix.EISDIR { // as kernels and filesystems say that do not know O_TMPFILE
		err = unix.EOPNOTSUPP
	}
	if err != nil {
		return err
	}
	return d.identify(id)
}
