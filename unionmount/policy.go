package unionmount

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// policy is how the files of a tree stand for the entries of a layer: where owner, mode, device and xattrs are kept.
// All that reads or writes those asks it; whatever else happens in a layer is the same for all policies.
type policy interface {
	// plain returns the identity of an entry whose file says all of it.
	plain(st *unix.Stat_t) layerfmt.Stat
	// statXattr is the name of the xattr that says more, "" where none does.
	statXattr() string
	// decode returns the identity of an entry by the value of that xattr.
	decode(value string, st *unix.Stat_t) (layerfmt.Stat, error)
	// backing returns the type and permissions, as in st_mode, that the file of an entry has.
	backing(id layerfmt.Stat) uint32
	// copied is backing for the copy of a lower entry, which is to carry an xattr if any file that stands for it can.
	copied(id layerfmt.Stat) uint32
	// atOnce tells whether a file made with these stands for the entry without more being done to it.
	atOnce(id layerfmt.Stat) bool
	// identify makes the file behind fd, just made and with attributes st, stand for id.
	identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error
	// change makes the file behind fd stand for want instead of *have, and notes it there.
	change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error
	// refersBelow tells whether entries of the upper may refer to files of the lowers instead of having their content.
	refersBelow() bool
	// diskXattr returns the name under which an xattr is stored that the container calls name.
	diskXattr(name string) string
	// seenXattr is its inverse; ok is false for what no container sees.
	seenXattr(disk string) (name string, ok bool)
	// diskValue returns what is stored as the value of an xattr that the container gives one.
	diskValue(name string, value []byte) []byte
	// seenValue is its inverse.
	seenValue(name string, value []byte) []byte
	// makeOpaque marks the directory behind fd.
	makeOpaque(fd int) error
}

func newPolicy(l *Layer, root int) (policy, error) {
	switch l.Ownership {
	case CallerOwned:
		return callerOwned{}, nil
	case HostOwned:
		h := hostOwned{uids: l.UIDs, gids: l.GIDs, unmapped: l.Unmapped, self: Owner{uint32(os.Geteuid()), uint32(os.Getegid())}}
		err := claimStatXattr(l, root, h)
		if err != nil || l.StatXattr == "" {
			return h, err
		}
		return annotated{hostOwned: h, xattr: l.StatXattr}, nil
	}
	return nil, fmt.Errorf("layer %s: unknown ownership %q", l.Dir, l.Ownership)
}

// carriesXattrs tells whether Linux lets a user give xattrs to a file of the given mode.
func carriesXattrs(mode uint32) bool {
	return mode&unix.S_IFMT == unix.S_IFREG || mode&unix.S_IFMT == unix.S_IFDIR
}

// callerOwned keeps everything as package layerfmt says, in files of the caller's.
type callerOwned struct{}

func (callerOwned) plain(st *unix.Stat_t) layerfmt.Stat {
	return layerfmt.Stat{Mode: st.Mode, Rdev: st.Rdev}
}

func (callerOwned) statXattr() string { return layerfmt.StatXattr }

func (callerOwned) decode(value string, st *unix.Stat_t) (layerfmt.Stat, error) {
	return layerfmt.Decode(value, st.Mode)
}

func (callerOwned) backing(id layerfmt.Stat) uint32 {
	return id.BackingType() | layerfmt.BackingPerm(id.Mode)
}

// copied has a file stand for a link, also for one that could be a link.
func (p callerOwned) copied(id layerfmt.Stat) uint32 {
	if id.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.S_IFREG | layerfmt.BackingPerm(id.Mode)
	}
	return p.backing(id)
}

// needsXattr tells whether a file on disk, if it is not a link itself, needs the xattr to stand for id.
func (callerOwned) needsXattr(id layerfmt.Stat) bool {
	return id.NeedsXattr() || id.Mode&unix.S_IFMT == unix.S_IFLNK
}

func (callerOwned) atOnce(id layerfmt.Stat) bool { return !id.NeedsXattr() }

func (p callerOwned) identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	if p.needsXattr(id) {
		if err := setXattr(fd, layerfmt.StatXattr, id.Encode()); err != nil {
			return err
		}
	}
	return fixPerm(fd, st, layerfmt.BackingPerm(id.Mode))
}

// change sets the xattr first: with it, the bits on disk do not show. One that is needed no longer is removed last, or
// later changes that need none would not show. A link on disk has nothing to change: see convertLink.
func (p callerOwned) change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error {
	st, err := statFD(fd)
	if err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return err
	}
	path := procPath(fd)
	had, needs := p.needsXattr(*have), p.needsXattr(want)
	if *have != want && (had || needs) {
		if err := setXattr(fd, layerfmt.StatXattr, want.Encode()); err != nil {
			return err
		}
	}
	if err := unix.Chmod(path, layerfmt.BackingPerm(want.Mode)); err != nil { // also when it is the same: the ctime changes
		return err
	}
	if had && !needs {
		if err := unix.Removexattr(path, layerfmt.StatXattr); err != nil {
			return err
		}
	}
	*have = want
	return nil
}

func (callerOwned) refersBelow() bool { return true }

func (callerOwned) diskXattr(name string) string { return layerfmt.EscapeXattr(name) }

func (callerOwned) seenXattr(disk string) (string, bool) { return layerfmt.UnescapeXattr(disk) }

func (callerOwned) diskValue(_ string, value []byte) []byte { return value }

func (callerOwned) seenValue(_ string, value []byte) []byte { return value }

func (callerOwned) makeOpaque(fd int) error { return setXattr(fd, layerfmt.OpaqueXattr, "y") }

// fixPerm gives the file behind fd the permission bits of mode where making it did not, for the umask or a setgid
// directory.
func fixPerm(fd int, st *unix.Stat_t, mode uint32) error {
	if st.Mode&0o7777 == mode&0o7777 {
		return nil
	}
	return unix.Chmod(procPath(fd), mode&0o7777)
}

// hostOwned keeps everything where an ordinary filesystem does, with ids translated: what other overlay filesystems
// write and read.
type hostOwned struct {
	uids, gids []IDMapping
	unmapped   uint32
	self       Owner // whose a file is that this process makes, on disk
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
		return unix.Chmod(procPath(fd), id.Mode&0o7777)
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
	if want.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(procPath(fd), want.Mode&0o7777); err != nil {
			return err
		}
	}
	*have = want
	return nil
}

// chown changes the owner of any file, also of a link.
func chown(fd int, owner Owner) error {
	return unix.Fchownat(fd, "", int(owner.UID), int(owner.GID), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
}

// refersBelow is false because other overlay filesystems do not know our references.
func (hostOwned) refersBelow() bool { return false }

// trustedOverlay starts the xattrs of the kernel's overlay filesystem.
const trustedOverlay = "trusted.overlay."

// diskXattr leaves names that mean to the host what they mean to the container, and escapes those that mean something to
// overlay filesystems or to the host's security modules.
func (hostOwned) diskXattr(name string) string {
	if name == capsXattr || isACL(name) || strings.HasPrefix(name, "trusted.") && !strings.HasPrefix(name, trustedOverlay) {
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
	return translateACL(value, func(maps []IDMapping, id uint32) uint32 {
		host, _ := toHost(maps, id, p.unmapped)
		return host
	}, p.uids, p.gids)
}

func (p hostOwned) seenValue(name string, value []byte) []byte {
	if !isACL(name) {
		return value
	}
	return translateACL(value, func(maps []IDMapping, id uint32) uint32 { return toContainer(maps, id, p.unmapped) }, p.uids, p.gids)
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
		if _, err := (xattrSource{fd: root}).read(name); err == nil {
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
	if want.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	return unix.Chmod(procPath(fd), p.backing(want)&0o7777)
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

// diskXattr escapes ACLs, too: on disk they would be about the permissions there.
func (p annotated) diskXattr(name string) string {
	if isACL(name) {
		return layerfmt.EscapeXattr(name)
	}
	return p.hostOwned.diskXattr(name)
}

func (p annotated) seenXattr(disk string) (string, bool) {
	if slices.Contains(layerfmt.StatXattrs, disk) {
		return "", false
	}
	if name, ok := layerfmt.UnescapeXattr(disk); ok && isACL(name) {
		return name, true
	}
	name, ok := p.hostOwned.seenXattr(disk)
	return name, ok && !isACL(name)
}
