package unionmount

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// POSIX ACLs are stored like other xattrs that users may not set, with the container's ids in them. The kernel checks
// permissions by them; as in any filesystem, it is left to the union to keep mode and access ACL in step, and to let
// new entries inherit the default ACL of their directory, where it takes the place of the umask.
const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// XattrKillSgid is a flag of SetXattr besides those of setxattr(2): to drop sgid, as setting an ACL does for a caller
// who is not in the file's group.
const XattrKillSgid = 1 << 16

// The tags of ACL entries, and the version of the form in which they are in an xattr.
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20

	aclVersion   = 2
	aclEntrySize = 8
)

// acl is a list of entries in the order of their tags. An empty one is none.
type acl []aclEntry

type aclEntry struct {
	tag, perm uint16
	id        uint32 // of aclUser and aclGroup
}

func isACL(name string) bool { return name == accessACL || name == defaultACL }

// parseACL reads the value of an ACL's xattr; EINVAL if it is not one.
func parseACL(value []byte) (acl, error) {
	if len(value) == 0 {
		return nil, nil
	}
	if len(value)%aclEntrySize != 4 || binary.LittleEndian.Uint32(value) != aclVersion {
		return nil, unix.EINVAL
	}
	var a acl
	counts := map[uint16]int{}
	for rest := value[4:]; len(rest) > 0; rest = rest[aclEntrySize:] {
		e := aclEntry{binary.LittleEndian.Uint16(rest), binary.LittleEndian.Uint16(rest[2:]), binary.LittleEndian.Uint32(rest[4:])}
		if e.perm > 7 || len(a) > 0 && e.tag < a[len(a)-1].tag {
			return nil, unix.EINVAL
		}
		counts[e.tag]++
		a = append(a, e)
	}
	named := counts[aclUser] + counts[aclGroup]
	if len(a) > 0 && (counts[aclUserObj] != 1 || counts[aclGroupObj] != 1 || counts[aclOther] != 1 || counts[aclMask] > 1 ||
		named > 0 && counts[aclMask] == 0 || len(a) != 3+named+counts[aclMask]) {
		return nil, unix.EINVAL
	}
	return a, nil
}

func (a acl) encode() []byte {
	value := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range a {
		value = binary.LittleEndian.AppendUint16(value, e.tag)
		value = binary.LittleEndian.AppendUint16(value, e.perm)
		value = binary.LittleEndian.AppendUint32(value, e.id)
	}
	return value
}

// translateACL returns the value of an ACL's xattr with the ids of users and groups translated. One that is malformed,
// as on disk it may be, stays so.
func translateACL(value []byte, translate func(m idmap.Map, id uint32) uint32, uids, gids idmap.Map) []byte {
	a, err := parseACL(value)
	if err != nil || len(a) == 0 {
		return value
	}
	for i := range a {
		switch a[i].tag {
		case aclUser:
			a[i].id = translate(uids, a[i].id)
		case aclGroup:
			a[i].id = translate(gids, a[i].id)
		}
	}
	return a.encode()
}

// saysMore tells whether the nine bits of a mode cannot stand for a.
func (a acl) saysMore() bool { return len(a) > 3 }

// mode returns the nine bits of the mode that goes with a.
func (a acl) mode() uint32 {
	var mode uint32
	a.eachClass(func(e *aclEntry, shift int) { mode |= uint32(e.perm) << shift })
	return mode
}

// eachClass calls f with the entries that the mode shows, and where: the group's bits are those of the mask, if any.
func (a acl) eachClass(f func(e *aclEntry, shift int)) {
	group := uint16(aclGroupObj)
	for _, e := range a {
		if e.tag == aclMask {
			group = aclMask
		}
	}
	for i := range a {
		switch a[i].tag {
		case aclUserObj:
			f(&a[i], 6)
		case group:
			f(&a[i], 3)
		case aclOther:
			f(&a[i], 0)
		}
	}
}

// with returns a as chmod changes it.
func (a acl) with(mode uint32) acl {
	changed := append(acl(nil), a...)
	changed.eachClass(func(e *aclEntry, shift int) { e.perm = uint16(mode>>shift) & 7 })
	return changed
}

// within returns a as a new entry inherits it that is made with a mode.
func (a acl) within(mode uint32) acl {
	limited := append(acl(nil), a...)
	limited.eachClass(func(e *aclEntry, shift int) { e.perm &= uint16(mode>>shift) & 7 })
	return limited
}

// readACL returns an ACL of n, empty for none. Meta of n is held.
func (u *Union) readACL(n *Node, name string) (acl, error) {
	value, err := u.getXattr(n, name)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseACL(value)
}

// defaultACL returns what is inherited from a directory.
func (u *Union) defaultACL(dir *Node) (acl, error) {
	if known := dir.defaults.Load(); known != nil {
		return *known, nil
	}
	dir.meta.RLock()
	defer dir.meta.RUnlock()
	a, err := u.readACL(dir, defaultACL)
	if err != nil {
		return nil, dir.fault("read default ACL of", err)
	}
	dir.defaults.Store(&a)
	return a, nil
}

// Masked returns the mode that a new entry of dir is made with: mode without umask, unless dir has a default ACL, which
// takes its place.
func (u *Union) Masked(dir *Node, mode, umask uint32) uint32 {
	if a, err := u.defaultACL(dir); err == nil && len(a) > 0 {
		return mode
	}
	return mode &^ (umask & 0o777)
}

// birthACLs are the ACLs that an entry is made with.
type birthACLs struct{ access, inherit acl }

func (b birthACLs) none() bool { return !b.access.saysMore() && len(b.inherit) == 0 }

// inheritACLs returns what a new entry inherits of the ACLs of dir, and its mode.
func (u *Union) inheritACLs(dir *Node, id layerfmt.Stat) (layerfmt.Stat, birthACLs, error) {
	if id.Mode&unix.S_IFMT == unix.S_IFLNK {
		return id, birthACLs{}, nil
	}
	a, err := u.defaultACL(dir)
	if err != nil || len(a) == 0 {
		return id, birthACLs{}, err
	}
	born := birthACLs{access: a.within(id.Mode)}
	if id.Mode&unix.S_IFMT == unix.S_IFDIR {
		born.inherit = a
	}
	id.Mode = id.Mode&^0o777 | born.access.mode()
	return id, born, nil
}

// giveACLs gives a draft the ACLs that it inherits.
func (d *draft) giveACLs(born birthACLs) error {
	if born.access.saysMore() {
		if err := d.giveXattr(accessACL, born.access.encode()); err != nil {
			return err
		}
	}
	if len(born.inherit) == 0 {
		return nil
	}
	return d.giveXattr(defaultACL, born.inherit.encode())
}

// giveXattr gives a draft an xattr as a container calls it.
func (d *draft) giveXattr(name string, value []byte) error {
	return d.u.upper.xattrs.set(d.fd, d.u.upper.diskXattr(name), string(d.u.upper.diskValue(name, value)), 0)
}

// setACL sets an ACL of n, whose backing file in the upper is behind fd. Meta of n is held.
func (u *Union) setACL(n *Node, fd int, name string, value []byte, flags int) error {
	a, err := parseACL(value)
	if err != nil {
		return err
	}
	if name == defaultACL {
		defer n.defaults.Store(nil)
		if !n.isDir() && len(a) > 0 {
			return unix.EACCES
		}
		return u.putACL(fd, name, a, len(a) > 0)
	}
	if err := u.putACL(fd, name, a, a.saysMore()); err != nil || len(a) == 0 {
		return err
	}
	id := n.stat
	id.Mode = id.Mode&^0o777 | a.mode()
	if flags&XattrKillSgid != 0 {
		id.Mode &^= unix.S_ISGID
	}
	return u.upper.change(fd, &n.stat, id)
}

// putACL stores an ACL, or that there is none.
func (u *Union) putACL(fd int, name string, a acl, stored bool) error {
	disk := u.upper.diskXattr(name)
	if stored {
		return u.upper.xattrs.set(fd, disk, string(u.upper.diskValue(name, a.encode())), 0)
	}
	err := u.upper.xattrs.remove(fd, disk)
	if err == unix.ENODATA {
		return nil
	}
	return err
}

// chmodACL lets the access ACL of n, if it has one, follow a change of its mode. Meta of n is held.
func (u *Union) chmodACL(n *Node, fd int, mode uint32) error {
	a, err := u.readACL(n, accessACL)
	if err != nil || len(a) == 0 {
		return err
	}
	return u.putACL(fd, accessACL, a.with(mode), true)
}
