package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
)

// XattrKillSgid is a flag of SetXattr besides those of setxattr(2). It drops sgid, as setting an ACL does for a
// caller that is not in the file's group.
const XattrKillSgid = 1 << 16

// readACL returns an ACL of n, empty if there is none. Meta of n is held.
func (u *Union) readACL(n *Node, name string) (encoding.ACL, error) {
	value, err := u.getXattr(n, name)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return encoding.ParseACL(value)
}

// defaultACL returns the default ACL of a directory, which new entries inherit.
func (u *Union) defaultACL(dir *Node) (encoding.ACL, error) {
	if known := dir.defaults.Load(); known != nil {
		return *known, nil
	}
	dir.meta.RLock()
	defer dir.meta.RUnlock()
	a, err := u.readACL(dir, encoding.DefaultACL)
	if err != nil {
		return nil, dir.fault("read default ACL of", err)
	}
	dir.defaults.Store(&a)
	return a, nil
}

// Masked returns the mode of a new entry of dir: mode without the bits of umask. If dir has a default ACL, that takes
// the place of the umask.
func (u *Union) Masked(dir *Node, mode, umask uint32) uint32 {
	if a, err := u.defaultACL(dir); err == nil && len(a) > 0 {
		return mode
	}
	return mode &^ (umask & 0o777)
}

// birthACLs are the ACLs of a new entry.
type birthACLs struct{ access, inherit encoding.ACL }

func (b birthACLs) none() bool { return !b.access.SaysMore() && len(b.inherit) == 0 }

// inheritACLs returns the ACLs that a new entry inherits from dir, and the identity with the mode that follows from
// them.
func (u *Union) inheritACLs(dir *Node, id layerfmt.Stat) (layerfmt.Stat, birthACLs, error) {
	if id.Mode&unix.S_IFMT == unix.S_IFLNK {
		return id, birthACLs{}, nil
	}
	a, err := u.defaultACL(dir)
	if err != nil || len(a) == 0 {
		return id, birthACLs{}, err
	}
	born := birthACLs{access: a.Within(id.Mode)}
	if id.Mode&unix.S_IFMT == unix.S_IFDIR {
		born.inherit = a
	}
	id.Mode = id.Mode&^0o777 | born.access.Mode()
	return id, born, nil
}

// giveACLs gives a draft the ACLs that it inherits.
func (d *draft) giveACLs(born birthACLs) error {
	if born.access.SaysMore() {
		if err := d.giveXattr(encoding.AccessACL, born.access.Encode()); err != nil {
			return err
		}
	}
	if len(born.inherit) == 0 {
		return nil
	}
	return d.giveXattr(encoding.DefaultACL, born.inherit.Encode())
}

// giveXattr gives a draft an xattr, by the name that a container uses.
func (d *draft) giveXattr(name string, value []byte) error {
	return d.u.upper.Xattrs.Set(d.fd, d.u.upper.DiskXattr(name), string(d.u.upper.DiskValue(name, value)), 0)
}

// setACL sets an ACL of n, whose backing file in the upper is behind fd. Meta of n is held.
func (u *Union) setACL(n *Node, fd int, name string, value []byte, flags int) error {
	a, err := encoding.ParseACL(value)
	if err != nil {
		return err
	}
	if name == encoding.DefaultACL {
		defer n.defaults.Store(nil)
		if !n.isDir() && len(a) > 0 {
			return unix.EACCES
		}
		return u.putACL(fd, name, a, len(a) > 0)
	}
	if err := u.putACL(fd, name, a, a.SaysMore()); err != nil || len(a) == 0 {
		return err
	}
	id := n.stat
	id.Mode = id.Mode&^0o777 | a.Mode()
	if flags&XattrKillSgid != 0 {
		id.Mode &^= unix.S_ISGID
	}
	return u.upper.Change(fd, &n.stat, id)
}

// putACL stores an ACL, or that there is none.
func (u *Union) putACL(fd int, name string, a encoding.ACL, stored bool) error {
	disk := u.upper.DiskXattr(name)
	if stored {
		return u.upper.Xattrs.Set(fd, disk, string(u.upper.DiskValue(name, a.Encode())), 0)
	}
	err := u.upper.Xattrs.Remove(fd, disk)
	if err == unix.ENODATA {
		return nil
	}
	return err
}

// chmodACL changes the access ACL of n, if it has one, to fit its new mode. Meta of n is held.
func (u *Union) chmodACL(n *Node, fd int, mode uint32) error {
	a, err := u.readACL(n, encoding.AccessACL)
	if err != nil || len(a) == 0 {
		return err
	}
	return u.putACL(fd, encoding.AccessACL, a.With(mode), true)
}
