package encoding

import (
	"encoding/binary"

	"github.com/rcrun/rcrun/internal/idmap"
	"golang.org/x/sys/unix"
)

// POSIX ACLs are stored like other xattrs that users may not set, with the container's ids in them. The kernel checks
// permissions by them. As in any filesystem, the union must keep mode and access ACL in step, and new entries must
// inherit the default ACL of their directory, which takes the place of the umask.
const (
	AccessACL  = "system.posix_acl_access"
	DefaultACL = "system.posix_acl_default"
)

// The tags of ACL entries, and the version of their form in an xattr.
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

// ACL is a list of entries in the order of their tags. An empty list means that there is no ACL.
type ACL []aclEntry

type aclEntry struct {
	tag, perm uint16
	id        uint32 // of aclUser and aclGroup
}

// IsACL tells whether an xattr is an ACL.
func IsACL(name string) bool { return name == AccessACL || name == DefaultACL }

// ParseACL reads the value of an ACL's xattr; EINVAL if it is not one.
func ParseACL(value []byte) (ACL, error) {
	if len(value) == 0 {
		return nil, nil
	}
	if len(value)%aclEntrySize != 4 || binary.LittleEndian.Uint32(value) != aclVersion {
		return nil, unix.EINVAL
	}
	var a ACL
	counts := map[uint16]int{}
	for rest := value[4:]; len(rest) > 0; rest = rest[aclEntrySize:] {
		e := aclEntry{tag: binary.LittleEndian.Uint16(rest), perm: binary.LittleEndian.Uint16(rest[2:]),
			id: binary.LittleEndian.Uint32(rest[4:])}
		if e.perm > 7 || len(a) > 0 && e.tag < a[len(a)-1].tag {
			return nil, unix.EINVAL
		}
		counts[e.tag]++
		a = append(a, e)
	}
	named := counts[aclUser] + counts[aclGroup]
	if len(a) > 0 && (counts[aclUserObj] != 1 || counts[aclGroupObj] != 1 || counts[aclOther] != 1 ||
		counts[aclMask] > 1 || named > 0 && counts[aclMask] == 0 || len(a) != 3+named+counts[aclMask]) {
		return nil, unix.EINVAL
	}
	return a, nil
}

// Encode returns the value of the xattr.
func (a ACL) Encode() []byte {
	value := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range a {
		value = binary.LittleEndian.AppendUint16(value, e.tag)
		value = binary.LittleEndian.AppendUint16(value, e.perm)
		value = binary.LittleEndian.AppendUint32(value, e.id)
	}
	return value
}

// translateACL returns the value of an ACL's xattr with the ids of users and groups translated. A malformed value,
// which may be on disk, is returned as it is.
func translateACL(value []byte, translate func(m idmap.Map, id uint32) uint32, uids, gids idmap.Map) []byte {
	a, err := ParseACL(value)
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
	return a.Encode()
}

// SaysMore tells whether a says more than the nine bits of a mode can.
func (a ACL) SaysMore() bool { return len(a) > 3 }

// Mode returns the nine bits of the mode that fits a.
func (a ACL) Mode() uint32 {
	var mode uint32
	a.eachClass(func(e *aclEntry, shift int) { mode |= uint32(e.perm) << shift })
	return mode
}

// eachClass calls f with the entries that the mode shows, and the position of their bits. The bits of the group are
// those of the mask, if there is one.
func (a ACL) eachClass(f func(e *aclEntry, shift int)) {
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

// With returns the ACL that chmod makes of a.
func (a ACL) With(mode uint32) ACL {
	changed := append(ACL(nil), a...)
	changed.eachClass(func(e *aclEntry, shift int) { e.perm = uint16(mode>>shift) & 7 })
	return changed
}

// Within returns the ACL that a new entry with a mode inherits from a.
func (a ACL) Within(mode uint32) ACL {
	limited := append(ACL(nil), a...)
	limited.eachClass(func(e *aclEntry, shift int) { e.perm &= uint16(mode>>shift) & 7 })
	return limited
}
