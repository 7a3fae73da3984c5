package encoding

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// hostOwned keeps everything where an ordinary filesystem does, with ids translated. Other overlay filesystems write
// and read such trees.
type hostOwned struct {
	uids, gids idmap.Map
	unmapped   uint32
	self       owner // the owner on disk of files that this process makes

	redirect, metacopy bool // as in Layer
	prefix             string
}

// HostTree says how a HostOwned tree is encoded. The fields are those of a layer.
type HostTree struct {
	UIDs, GIDs idmap.Map
	Unmapped   uint32
	StatXattr  string

	Follow, Redirect, Metacopy bool
}

// NewHostOwned returns the policy of the tree at root, and the xattr in which it keeps owners and modes, "" for none.
func NewHostOwned(t HostTree, root int) (_ Policy, statXattr string, err error) {
	h := hostOwned{uids: t.UIDs, gids: t.GIDs, unmapped: t.Unmapped, redirect: t.Redirect, metacopy: t.Metacopy,
		self: owner{uint32(os.Geteuid()), uint32(os.Getegid())}, prefix: OverlayPrefix(t.Follow)}
	if statXattr, err = claimStatXattr(t.StatXattr, root, h); err != nil || statXattr == "" {
		return h, statXattr, err
	}
	return annotated{hostOwned: h, xattr: statXattr}, statXattr, nil
}

// OverlayPrefix returns the prefix of the xattrs by which entries of a layer refer to others, or "" if references are
// not followed. Root does not follow references that any user can set.
func OverlayPrefix(follow bool) string {
	switch {
	case !follow:
		return ""
	case os.Geteuid() == 0 && InFirstUserNamespace():
		return layerfmt.PrivilegedOverlayPrefix
	}
	return layerfmt.OverlayPrefix
}

func (p hostOwned) FromStat(st *unix.Stat_t) layerfmt.Stat {
	return layerfmt.Stat{UID: toContainer(p.uids, st.Uid, p.unmapped), GID: toContainer(p.gids, st.Gid, p.unmapped),
		Mode: st.Mode, Rdev: st.Rdev}
}

func (hostOwned) IdentityXattr() string { return "" }

func (p hostOwned) Decode(_ string, st *unix.Stat_t) (layerfmt.Stat, error) {
	return p.FromStat(st), nil
}

func (hostOwned) Backing(id layerfmt.Stat) uint32 { return id.Mode }

func (p hostOwned) Copied(id layerfmt.Stat) uint32 { return p.Backing(id) }

func (p hostOwned) AtOnce(id layerfmt.Stat) bool {
	to, err := p.onDisk(id)
	return err == nil && to == p.self && id.Mode&0o7000 == 0
}

// owner is the owner of a file on disk.
type owner struct{ uid, gid uint32 }

// onDisk returns the owner that an entry has on disk. An owner that the maps do not have is stored as the unmapped
// one. If that is root, the error is EINVAL instead, as from chown(2).
func (p hostOwned) onDisk(id layerfmt.Stat) (owner, error) {
	uid, known := toHost(p.uids, id.UID, p.unmapped)
	gid, alsoKnown := toHost(p.gids, id.GID, p.unmapped)
	if p.unmapped == 0 && !(known && alsoKnown) {
		return owner{}, unix.EINVAL
	}
	return owner{uid, gid}, nil
}

// Identify sets the owner first, because that may drop mode bits.
func (p hostOwned) Identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error {
	to, err := p.onDisk(id)
	if err != nil {
		return err
	}
	made := owner{st.Uid, st.Gid}
	if to != made {
		if err := chown(fd, to); err != nil {
			return err
		}
	}
	switch {
	case id.Mode&unix.S_IFMT == unix.S_IFLNK:
		return nil
	case to != made:
		return beneath.Chmod(fd, id.Mode&0o7777)
	}
	return FixPerm(fd, st, id.Mode)
}

func (p hostOwned) Change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error {
	if have.UID != want.UID || have.GID != want.GID {
		to, err := p.onDisk(want)
		if err != nil {
			return err
		}
		if err := chown(fd, to); err != nil {
			return err
		}
	}
	if err := setPerm(fd, want.Mode); err != nil {
		return err
	}
	*have = want
	return nil
}

// setPerm sets the permission bits of a file. Its ctime changes even if the bits stay the same. A link has no bits,
// but its ctime changes, too.
func setPerm(fd int, mode uint32) error {
	if mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.Fchownat(fd, "", -1, -1, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	}
	return beneath.Chmod(fd, mode&0o7777)
}

// chown changes the owner of any file, also of a link.
func chown(fd int, to owner) error {
	return unix.Fchownat(fd, "", int(to.uid), int(to.gid), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
}

// InFirstUserNamespace tells whether root here is root of the host: only then are there trusted xattrs.
func InFirstUserNamespace() bool {
	ids, err := idmap.OwnUIDs()
	return err == nil && ids.IsEverything()
}

// Refer returns the path from the roots of the layers. The kernel finds there what the union has found.
func (p hostOwned) Refer(below iter.Seq2[int, string], dir bool) *Reference {
	if p.prefix == "" || dir && !p.redirect || !dir && !p.metacopy {
		return nil
	}
	for _, path := range below {
		return &Reference{Path: "/" + path}
	}
	return nil
}

func (p hostOwned) Marks(ref *Reference, dir bool) []Mark {
	if p.prefix == "" {
		return nil
	}
	path := Mark{p.prefix + layerfmt.OverlayRedirect, ref.Path}
	if dir {
		return []Mark{path}
	}
	return []Mark{path, {p.prefix + layerfmt.OverlayMetacopy, ""}}
}

// LeastBorrowed is more than one block, so that the blocks of a file show that it has no data.
func (hostOwned) LeastBorrowed() int64 { return 4096 + 1 }

func (p hostOwned) OverlayPrefix() string { return p.prefix }

// XattrsAreOurs is false because security modules of the host may label files.
func (hostOwned) XattrsAreOurs() bool { return false }

// DiskXattr keeps names that mean to the host what they mean to the container, and escapes those that mean something
// to overlay filesystems or to the host's security modules.
func (hostOwned) DiskXattr(name string) string {
	trusted := strings.HasPrefix(name, "trusted.") && !strings.HasPrefix(name, layerfmt.PrivilegedOverlayPrefix)
	if name == CapsXattr || IsACL(name) || trusted {
		return name
	}
	return layerfmt.EscapeXattr(name)
}

func (p hostOwned) SeenXattr(disk string) (string, bool) {
	if name, ok := layerfmt.UnescapeXattr(disk); ok {
		return name, p.DiskXattr(name) == disk
	}
	return disk, p.DiskXattr(disk) == disk
}

// DiskValue translates the ids in an ACL.
func (p hostOwned) DiskValue(name string, value []byte) []byte {
	if !IsACL(name) {
		return value
	}
	return translateACL(value, func(m idmap.Map, id uint32) uint32 {
		host, _ := toHost(m, id, p.unmapped)
		return host
	}, p.uids, p.gids)
}

func (p hostOwned) SeenValue(name string, value []byte) []byte {
	if !IsACL(name) {
		return value
	}
	return translateACL(value, func(m idmap.Map, id uint32) uint32 {
		return toContainer(m, id, p.unmapped)
	}, p.uids, p.gids)
}

// MakeOpaque sets the mark that the kernel reads for root. If the process may not, it sets the mark for users and
// that of fuse-overlayfs.
func (hostOwned) MakeOpaque(fd int) error {
	err := sys.SetXattr(fd, layerfmt.PrivilegedOpaqueXattr, "y", 0)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	for _, name := range []string{layerfmt.OpaqueXattr, layerfmt.FuseOpaqueXattr} {
		if err := sys.SetXattr(fd, name, "y", 0); err != nil {
			return err
		}
	}
	return nil
}

// annotated is hostOwned for trees whose owners cannot be set. Like fuse-overlayfs with xattr_permissions, it keeps
// owner and mode in an xattr of every entry, also of entries for which plain files would do.
type annotated struct {
	hostOwned
	xattr string
}

// claimStatXattr returns the xattr in which a tree keeps owners and modes, or "". It is the one that the root has, or
// else the one that is asked for, which the root then gets.
func claimStatXattr(asked string, root int, h hostOwned) (string, error) {
	for _, name := range layerfmt.StatXattrs {
		if _, err := (beneath.File{FD: root}).Xattr(name); err == nil {
			return name, nil
		}
	}
	if asked == "" {
		return "", nil
	}
	st, err := sys.Stat(root)
	if err == nil {
		err = annotated{hostOwned: h, xattr: asked}.annotate(root, h.FromStat(&st))
	}
	if err != nil {
		return "", fmt.Errorf("keep owners in %s: %w", asked, err)
	}
	return asked, nil
}

func (p annotated) IdentityXattr() string { return p.xattr }

func (p annotated) Decode(value string, st *unix.Stat_t) (layerfmt.Stat, error) {
	id, err := layerfmt.Decode(value, st.Mode)
	id.UID, id.GID = toContainer(p.uids, id.UID, p.unmapped), toContainer(p.gids, id.GID, p.unmapped)
	return id, err
}

func (p annotated) Backing(id layerfmt.Stat) uint32 {
	kind := id.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && kind != unix.S_IFLNK {
		kind = unix.S_IFREG
	}
	return kind | layerfmt.BackingPerm(id.Mode)
}

func (p annotated) Copied(id layerfmt.Stat) uint32 { return p.Backing(id) }

func (annotated) AtOnce(layerfmt.Stat) bool { return false }

func (p annotated) Identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error {
	if err := p.annotate(fd, id); err != nil || id.Mode&unix.S_IFMT == unix.S_IFLNK {
		return err
	}
	return FixPerm(fd, st, p.Backing(id))
}

func (p annotated) Change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error {
	if err := p.annotate(fd, want); err != nil {
		return err
	}
	*have = want
	return setPerm(fd, p.Backing(want))
}

// annotate sets the xattr. A link can carry it only if its name is not in the user namespace of xattrs.
func (p annotated) annotate(fd int, id layerfmt.Stat) error {
	if id.Mode&unix.S_IFMT == unix.S_IFLNK && strings.HasPrefix(p.xattr, "user.") {
		return nil
	}
	to, err := p.onDisk(id)
	if err != nil {
		return err
	}
	id.UID, id.GID = to.uid, to.gid
	return sys.SetXattr(fd, p.xattr, id.Encode(), 0)
}

// setsApart tells whether an xattr is stored under another name because of what it would mean on disk. An ACL would
// apply to the permissions there. Capabilities can be set by root only, and with a user xattr it is not root that
// keeps the owners.
func (p annotated) setsApart(name string) bool {
	return IsACL(name) || name == CapsXattr && strings.HasPrefix(p.xattr, "user.")
}

func (p annotated) DiskXattr(name string) string {
	if p.setsApart(name) {
		return layerfmt.EscapeXattr(name)
	}
	return p.hostOwned.DiskXattr(name)
}

func (p annotated) SeenXattr(disk string) (string, bool) {
	if slices.Contains(layerfmt.StatXattrs, disk) {
		return "", false
	}
	if name, ok := layerfmt.UnescapeXattr(disk); ok && p.setsApart(name) {
		return name, true
	}
	name, ok := p.hostOwned.SeenXattr(disk)
	return name, ok && !p.setsApart(name)
}
