package encoding

import (
	"bytes"
	"encoding/binary"
)

// CapsXattr holds file capabilities, which a change of the data or the owner drops.
const CapsXattr = "security.capability"

// Sizes and revisions of struct vfs_cap_data and vfs_ns_cap_data (linux/capability.h), all little endian.
const (
	capsSize         = 20
	capsSizeOfRoot   = 24 // with the user id of the root to whose user namespaces the capabilities apply
	capsRevision     = 0x02000000
	capsRevisionRoot = 0x03000000
	capsRevisionMask = 0xff000000
)

// CapsOfRoot returns file capabilities that name user 0 of the mount as root in the form that names no root. The
// kernel stores the first form when the root of a user namespace below that of the mount sets capabilities. Both
// forms mean the same there, and images have the form without a root.
func CapsOfRoot(value []byte) []byte {
	if len(value) != capsSizeOfRoot {
		return value
	}
	magic, root := binary.LittleEndian.Uint32(value), binary.LittleEndian.Uint32(value[capsSize:])
	if magic&capsRevisionMask != capsRevisionRoot || root != 0 {
		return value
	}
	plain := bytes.Clone(value[:capsSize])
	binary.LittleEndian.PutUint32(plain, magic&^capsRevisionMask|capsRevision)
	return plain
}
