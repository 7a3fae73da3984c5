package unionmount

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// hostOwned keeps everything where an ordinary filesystem does, with ids translated: what other overlay filesystems
// write and read.
type hostOwned struct {
	uids, gids idmap.Map
	unmapped   uint32
	self       Owner // whose a file is that this process makes, on disk

	redirect, metacopy bool // as in Layer
	prefix             string
}

// overlayPrefix returns the prefix of the xattrs by which entries of a layer refer to others, "" where they do not. What
// any user can set does not count for root.
func overlayPrefix(l *Layer) string {
	switch {
	case !l.Follow:
		return ""
	case os.Geteuid() == 0 && inFirstUserNamespace():
		return layerfmt.PrivilegedOverlayPrefix
	}
	return layerfmt.OverlayPrefix
}

func (p hostOwned) plain(st *unix.Stat_t) layerfmt.Stat {
	return layerfmt.Stat{UID: toContainer(p.uids, st.Uid, p.unmapped), GID: toContainer(p.gids, st.Gid, p.unmapped),
		Mode: st.Mode, Rdev: st.Rdev}
}

func (hostOwned) statXattr() string { return "" }

func (p hostOwned) decode(_ string, st *unix.Stat_t) (layerfmt.Stat, error) { return p.plain(st), nil }

func (hostOwned) backing(id layerfmt.Stat) uint32 { return id.Mode }

func (p hostOwned) copied(id layerfmt.Stat) uint32 { return p.backing(id) }

func (p hostOwned) atOnce(id layerfmt.Stat) bool {
	owner, err := p.onDisk(id)
	return err == nil && owner == p.self && id.Mode&0o7000 == 0
}

// onDisk returns the owner that an entry has on disk. One that the maps do not have is the unmapped one there, too; but
// never root: then it is EINVAL, as of chown(2).
func (p hostOwned) onDisk(id layerfmt.Stat) (Owner, error) {
	uid, known := toHost(p.uids, id.UID, p.unmapped)
	gid, alsoKnown := toHost(p.gids, id.GID, p.unmapped)
	if p.unmapped == 0 && !(known && alsoKnown) {
		return Owner{}, unix.EINVAL
	}
	return Owner{uid, gid}, nil
}

// identify sets the owner first, because that may drop mode bits.
func (p hostOwned) identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error {
	owner, err := p.onDisk(id)
	if err != nil {
		return err
	}
	made := Owner{st.Uid, st.Gid}
	if owner != made {
		if err := chown(fd, owner); err != nil {
			return err
		}
	}
	switch {
	case id.Mode&unix.S_IFMT == unix.S_IFLNK:
		return nil
	case owner != made:
		return beneath.Chmod(fd, id.Mode&0o7777)
	}
	return fixPerm(fd, st, id.Mode)
}

func (p hostOwned) change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error {
	if have.UID != want.UID || have.GID != want.GID {
		owner, err := p.onDisk(want)
		if err != nil {
			return err
		}
		if err := chown(fd, owner); err != nil {
			return err
		}
	}
	if err := setPerm(fd, want.Mode); err != nil {
		return err
	}
	*have = want
	return nil
}

// setPerm sets the permission bits of a file. A link has none, but its ctime changes as that of all others does, also when
// the bits are what they were.
func setPerm(fd int, mode uint32) error {
	if mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.Fchownat(fd, "", -1, -1, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	}
	return beneath.Chmod(fd, mode&0o7777)
}

// chown changes the owner of any file, also of a link.
func chown(fd int, owner Owner) error {
	return unix.Fchownat(fd, "", int(owner.UID), int(owner.GID), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
}

// inFirstUserNamespace tells whether root is root here: only then are there trusted xattrs.
func inFirstUserNamespace() bool {
	ids, err := idmap.OwnUIDs()
	return err == nil && ids.IsEverything()
}

// refer returns the path from the layers' roots: what the kernel looks up there is what the union has found.
func (p hostOwned) refer(below []place, dir bool) *reference {
	if p.prefix == "" || dir && !p.redirect || !dir && !p.metacopy {
		return nil
	}
	return &reference{path: "/" + below[0].full()}
}

func (p hostOwned) marks(ref *reference, dir bool) []xattrMark {
	if p.prefix == "" {
		return nil
	}
	path := xattrMark{p.prefix + layerfmt.OverlayRedirect, ref.path}
	if dir {
		return []xattrMark{path}
	}
	return []xattrMark{path, {p.prefix + layerfmt.OverlayMetacopy, ""}}
}

// leastBorrowed is more than one block, so that a file without data is seen to be one.
func (hostOwned) leastBorrowed() int64 { return 4096 + 1 }

func (p hostOwned) overlayPrefix() string { return p.prefix }

// xattrsAreOurs is not so where the host has security modules, which label files.
func (hostOwned) xattrsAreOurs() bool { return false }

// diskXattr leaves names that mean to the host what they mean to the container, and escapes those that mean something to
// overlay filesystems or to the host's security modules.
func (hostOwned) diskXattr(name string) string {
	if name == capsXattr || isACL(name) || strings.HasPrefix(name, "trusted.") && !strings.HasPrefix(name, layerfmt.PrivilegedOverlayPrefix) {
		return name
	}
	return layerfmt.EscapeXattr(name)
}

func (p hostOwned) seenXattr(disk string) (string, bool) {
	if name, ok := layerfmt.UnescapeXattr(disk); ok {
		return name, p.diskXattr(name) == disk
	}
	return disk, p.diskXattr(disk) == disk
}

// diskValue translates the ids in an ACL.
func (p hostOwned) diskValue(name string, value []byte) []byte {
	if !isACL(name) {
		return value
	}
	return translateACL(value, func(m idmap.Map, id uint32) uint32 {
		host, _ := toHost(m, id, p.unmapped)
		return host
	}, p.uids, p.gids)
}

func (p hostOwned) seenValue(name string, value []byte) []byte {
	if !isACL(name) {
		return value
	}
	return translateACL(value, func(m idmap.Map, id uint32) uint32 { return toContainer(m, id, p.unmapped) }, p.uids, p.gids)
}

// makeOpaque makes the mark that the kernel reads; one in the name of users, and fuse-overlayfs's own, where the
// process may not.
func (hostOwned) makeOpaque(fd int) error {
	err := setXattr(fd, layerfmt.PrivilegedOpaqueXattr, "y")
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	for _, name := range []string{layerfmt.OpaqueXattr, layerfmt.FuseOpaqueXattr} {
		if err := setXattr(fd, name, "y"); err != nil {
			return err
		}
	}
	return nil
}

// annotated is hostOwned where the owner cannot be set: like fuse-overlayfs with xattr_permissions, it keeps owner and
// mode in an xattr of every entry, also of those for which plain files would do.
type annotated struct {
	hostOwned
	xattr string
}

// claimStatXattr finds out in which xattr, if any, a tree keeps owners and modes: the one that its root has, or else
// the one that l asks for, which the root then gets.
func claimStatXattr(l *Layer, root int, h hostOwned) error {
	for _, name := range layerfmt.StatXattrs {
		if _, err := (beneath.File{FD: root}).Xattr(name); err == nil {
			l.StatXattr = name
			return nil
		}
	}
	if l.StatXattr == "" {
		return nil
	}
	st, err := statFD(root)
	if err == nil {
		err = annotated{hostOwned: h, xattr: l.StatXattr}.annotate(root, h.plain(&st))
	}
	if err != nil {
		return fmt.Errorf("layer %s: keep owners in %s: %w", l.Dir, l.StatXattr, err)
	}
	return nil
}

func (p annotated) statXattr() string { return p.xattr }

func (p annotated) decode(value string, st *unix.Stat_t) (layerfmt.Stat, error) {
	id, err := layerfmt.Decode(value, st.Mode)
	id.UID, id.GID = toContainer(p.uids, id.UID, p.unmapped), toContainer(p.gids, id.GID, p.unmapped)
	return id, err
}

func (p annotated) backing(id layerfmt.Stat) uint32 {
	kind := id.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && kind != unix.S_IFLNK {
		kind = unix.S_IFREG
	}
	return kind | layerfmt.BackingPerm(id.Mode)
}

func (p annotated) copied(id layerfmt.Stat) uint32 { return p.backing(id) }

func (annotated) atOnce(layerfmt.Stat) bool { return false }

func (p annotated) identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error {
	if err := p.annotate(fd, id); err != nil || id.Mode&unix.S_IFMT == unix.S_IFLNK {
		return err
	}
	return fixPerm(fd, st, p.backing(id))
}

func (p annotated) change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error {
	if err := p.annotate(fd, want); err != nil {
		return err
	}
	*have = want
	return setPerm(fd, p.backing(want))
}

// annotate sets the xattr. A link can carry it only in a namespace of xattrs that users cannot write.
func (p annotated) annotate(fd int, id layerfmt.Stat) error {
	if id.Mode&unix.S_IFMT == unix.S_IFLNK && strings.HasPrefix(p.xattr, "user.") {
		return nil
	}
	owner, err := p.onDisk(id)
	if err != nil {
		return err
	}
	id.UID, id.GID = owner.UID, owner.GID
	return setXattr(fd, p.xattr, id.Encode())
}

// setsApart tells whether an xattr is stored under another name because of what it would mean on disk: ACLs are about the
// permissions there, and capabilities can be set by root only, as long as it is not root who keeps the owners.
func (p annotated) setsApart(name string) bool {
	return isACL(name) || name == capsXattr && strings.HasPrefix(p.xattr, "user.")
}

func (p annotated) diskXattr(name string) string {
	if p.setsApart(name) {
		return layerfmt.EscapeXattr(name)
	}
	return p.hostOwned.diskXattr(name)
}

func (p annotated) seenXattr(disk string) (string, bool) {
	if slices.Contains(layerfmt.StatXattrs, disk) {
		return "", false
	}
	if name, ok := layerfmt.UnescapeXattr(disk); ok && p.setsApart(name) {
		return name, true
	}
	name, ok := p.hostOwned.seenXattr(disk)
	return name, ok && !p.setsApart(name)
}
