// Package layerfmt is the on-disk encoding of a layer tree: what a writer puts into plain files so that every reader
// sees the owners, modes, devices, whiteouts and privileged xattrs that plain files of one user cannot carry. It also
// has the rule by which a union of layers shows a name ([Merge]). The layer store and the union filesystem share this
// package.
//
// A layer tree is a directory of files owned by the caller, with owner access always on:
//
//   - A regular file or directory has on disk the permission bits of [BackingPerm]. Anything that differs (owner,
//     group, bits that the owner needs, suid, sgid, sticky) is in the xattr [StatXattr]. Without that xattr, the
//     owner is 0:0 and the permission bits are those on disk.
//   - A symbolic link owned by 0:0 is a symbolic link. Linux allows no user xattr on a link. So a link with another
//     owner, or with any other note, is a regular file whose content is the target. Every device, fifo and socket is
//     an empty regular file. Both have a StatXattr that names the type.
//   - Xattrs that a user may not set (security.*, trusted.*, system.*), and xattrs that mean something to a reader of
//     layer trees, are stored under an escaped name: [EscapeXattr].
//   - A deleted name is a whiteout, in any of three forms. A new directory in the place of a deleted one carries an
//     opaque mark: see whiteout.go.
//   - In a writable layer, a file may have its data in a layer below. A renamed directory may be merged with
//     directories below that have another name: see below.go.
//
// StatXattr is the one that podman's storage library reads and writes on filesystems without chown, so that trees
// can be exchanged with it.
package layerfmt

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// StatXattr holds the logical owner, mode and type of an entry: "uid:gid:octal-mode[:type]", where type is dir,
// file, symlink, pipe, socket, block-MAJOR-MINOR or char-MAJOR-MINOR. The octal mode is the twelve permission bits.
const StatXattr = "user.containers.override_stat"

// The other xattrs that fuse-overlayfs keeps the same value in: with xattr_permissions=1, and formerly.
const (
	PrivilegedStatXattr = "security.fuseoverlayfs.override_stat"
	FormerStatXattr     = "user.fuseoverlayfs.override_stat"
)

// StatXattrs are all of them, in the order in which fuse-overlayfs looks for them.
var StatXattrs = []string{PrivilegedStatXattr, StatXattr, FormerStatXattr}

// Stat is the logical identity of an entry as a container sees it.
type Stat struct {
	UID, GID uint32
	Mode     uint32 // type and permission bits, as in st_mode
	Rdev     uint64 // of devices, as in st_rdev
}

// BackingPerm returns the permission bits on disk of an entry with the given logical mode. The bits that the owner
// needs to read and change it are added. Suid, sgid and sticky are removed, because on a file of the user they would
// mean something to the host.
func BackingPerm(mode uint32) uint32 {
	perm := mode & 0o777
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return perm | 0o700
	case unix.S_IFREG:
		return perm | 0o600
	}
	return 0o600
}

// BackingType returns the file type (S_IFREG, S_IFDIR or S_IFLNK) that an entry has on disk.
func (s Stat) BackingType() uint32 {
	switch t := s.Mode & unix.S_IFMT; {
	case t == unix.S_IFDIR:
		return unix.S_IFDIR
	case t == unix.S_IFLNK && s.UID == 0 && s.GID == 0:
		return unix.S_IFLNK
	}
	return unix.S_IFREG
}

// NeedsXattr tells whether the entry must carry a StatXattr, because a plain file cannot show it.
func (s Stat) NeedsXattr() bool {
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR:
		return s.UID != 0 || s.GID != 0 || s.Mode&0o7777 != BackingPerm(s.Mode)
	case unix.S_IFLNK:
		return s.UID != 0 || s.GID != 0
	}
	return true
}

// Encode returns the value of the StatXattr for s.
func (s Stat) Encode() string {
	return fmt.Sprintf("%d:%d:%04o:%s", s.UID, s.GID, s.Mode&0o7777, s.typeName())
}

func (s Stat) typeName() string {
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "dir"
	case unix.S_IFLNK:
		return "symlink"
	case unix.S_IFIFO:
		return "pipe"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFBLK:
		return fmt.Sprintf("block-%d-%d", unix.Major(s.Rdev), unix.Minor(s.Rdev))
	case unix.S_IFCHR:
		return fmt.Sprintf("char-%d-%d", unix.Major(s.Rdev), unix.Minor(s.Rdev))
	}
	return "file"
}

// Decode reads the value of a StatXattr. backing is the st_mode of the file on disk, whose type holds where the value
// names none. The value comes from disk and may have been written by any program, so any other form is an error.
func Decode(value string, backing uint32) (Stat, error) {
	fields := strings.Split(value, ":")
	if len(fields) != 3 && len(fields) != 4 {
		return Stat{}, fmt.Errorf("%s %q: want uid:gid:mode[:type]", StatXattr, value)
	}
	uid, err1 := strconv.ParseUint(fields[0], 10, 32)
	gid, err2 := strconv.ParseUint(fields[1], 10, 32)
	mode, err3 := strconv.ParseUint(fields[2], 8, 32)
	typeBits := uint32(mode) &^ 0o7777 // which fuse-overlayfs writes, too
	if err1 != nil || err2 != nil || err3 != nil || typeBits != 0 && typeBits != backing&unix.S_IFMT {
		return Stat{}, fmt.Errorf("%s %q: bad number", StatXattr, value)
	}
	s := Stat{UID: uint32(uid), GID: uint32(gid), Mode: uint32(mode) & 0o7777}
	if len(fields) == 3 {
		s.Mode |= backing & unix.S_IFMT
		return s, nil
	}
	typ, rdev, err := decodeType(fields[3])
	if err != nil {
		return Stat{}, fmt.Errorf("%s %q: %w", StatXattr, value, err)
	}
	if (typ == unix.S_IFDIR) != (backing&unix.S_IFMT == unix.S_IFDIR) {
		return Stat{}, fmt.Errorf("%s %q: does not fit a file of type %#o", StatXattr, value, backing&unix.S_IFMT)
	}
	s.Mode |= typ
	s.Rdev = rdev
	return s, nil
}

func decodeType(name string) (typ uint32, rdev uint64, err error) {
	switch name {
	case "file":
		return unix.S_IFREG, 0, nil
	case "dir":
		return unix.S_IFDIR, 0, nil
	case "symlink":
		return unix.S_IFLNK, 0, nil
	case "pipe":
		return unix.S_IFIFO, 0, nil
	case "socket":
		return unix.S_IFSOCK, 0, nil
	}
	parts := strings.Split(name, "-")
	if len(parts) != 3 || parts[0] != "block" && parts[0] != "char" {
		return 0, 0, fmt.Errorf("unknown type %q", name)
	}
	major, err1 := strconv.ParseUint(parts[1], 10, 32)
	minor, err2 := strconv.ParseUint(parts[2], 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("bad device number in %q", name)
	}
	typ = unix.S_IFCHR
	if parts[0] == "block" {
		typ = unix.S_IFBLK
	}
	return typ, unix.Mkdev(uint32(major), uint32(minor)), nil
}
