package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// A rename has five phases. The directories are locked from the second on:
//
//	prepare   looks both names up, checks types and depth, and copies up the nodes that move and both directories
//	validate  looks again: what has changed since is an error
//	ready     notes what is merged into directories that move, and keeps the replaced file open
//	change    renames on disk and in the links of the nodes, with Union.moving held
//	settle    updates listings and counts, takes the name from the replaced node, and leaves a device if asked to

// Rename moves a name to another directory or name, replacing what is there. flags may hold unix.RENAME_NOREPLACE, or
// RENAME_WHITEOUT to leave a device 0:0 behind, or RENAME_EXCHANGE alone.
func (u *Union) Rename(oldDir *Node, oldName string, newDir *Node, newName string, flags uint) error {
	if !validRenameFlags(flags) {
		return unix.EINVAL
	}
	if err := checkName(oldName); err != nil {
		return err
	}
	r := &renaming{u: u, from: link{oldDir, oldName}, to: link{newDir, newName}, flags: flags}
	defer r.done()
	if err := r.prepare(); err != nil {
		return err
	}
	unlock := lockDirs(oldDir, newDir, r.target)
	defer unlock()
	if err := r.validate(); err != nil || r.source == r.target {
		return err
	}
	g, err := r.u.quota.Reserve(r.needs())
	if err != nil {
		return r.source.fault("rename", err)
	}
	defer g.Release()
	defer r.u.settleAll(oldDir, newDir, r.source, r.target)
	if err := r.commit(); err != nil {
		oldDir.listing.Doubt(oldName)
		newDir.listing.Doubt(newName)
		return r.source.fault("rename", err)
	}
	return nil
}

// needs returns the room that the rename is known to take.
func (r *renaming) needs() quota.Usage {
	if r.flags&unix.RENAME_WHITEOUT != 0 {
		return quota.Usage{Inodes: 1}
	}
	return quota.Usage{}
}

func validRenameFlags(flags uint) bool {
	const known = unix.RENAME_NOREPLACE | unix.RENAME_EXCHANGE | unix.RENAME_WHITEOUT
	return flags&^known == 0 && (flags&unix.RENAME_EXCHANGE == 0 || flags == unix.RENAME_EXCHANGE)
}

// renaming is a rename under way.
type renaming struct {
	u        *Union
	from, to link
	flags    uint

	source, target             *Node    // target is nil if the new name is free
	sourceObject, targetObject *object  // set by validate
	below                      struct { // what the lowers have at the two names; set by validate
		from, to *object // nil for nothing
	}
}

func (r *renaming) exchange() bool { return r.flags&unix.RENAME_EXCHANGE != 0 }

// done takes back the lookups of prepare.
func (r *renaming) done() {
	for _, n := range []*Node{r.source, r.target} {
		if n != nil {
			r.u.Forget(n, 1)
		}
	}
}

// prepare looks both names up, checks them, and copies up the nodes that move and both directories.
func (r *renaming) prepare() (err error) {
	if r.u.upper == nil {
		return unix.EROFS
	}
	if r.flags&unix.RENAME_WHITEOUT != 0 && r.u.upper.IsWhiteout(leftDevice()) {
		return unix.EINVAL
	}
	if r.source, _, err = r.u.Lookup(r.from.parent, r.from.name); err != nil {
		return err
	}
	r.target, _, err = r.u.Lookup(r.to.parent, r.to.name)
	if exists, err := visible(err); err != nil {
		return err
	} else if !exists {
		r.target = nil
	}
	if err := r.checkTypes(); err != nil || r.source == r.target {
		return err
	}
	if err := r.checkDepth(); err != nil {
		return err
	}
	if err := r.u.copyUpToMove(r.source); err != nil {
		return err
	}
	if r.exchange() {
		if err := r.u.copyUpToMove(r.target); err != nil {
			return err
		}
	}
	if err := r.u.copyUp(r.from.parent, contentBelow); err != nil {
		return err
	}
	return r.u.copyUp(r.to.parent, contentBelow)
}

// checkTypes returns the errors that do not depend on what is in the directories.
func (r *renaming) checkTypes() error {
	if err := checkNewName(r.to.name); err != nil {
		return err
	}
	switch {
	case r.target == nil && r.exchange():
		return unix.ENOENT
	case r.source.isDir() && r.u.isBelow(r.to.parent, r.source):
		return unix.EINVAL
	case r.target == nil:
		return nil
	case r.flags&unix.RENAME_NOREPLACE != 0:
		return unix.EEXIST
	case r.exchange() && r.target.isDir() && r.u.isBelow(r.from.parent, r.target):
		return unix.EINVAL
	case r.exchange():
		return nil
	case r.source.isDir() && !r.target.isDir():
		return unix.ENOTDIR
	case !r.source.isDir() && r.target.isDir():
		return unix.EISDIR
	}
	return nil
}

// checkDepth returns an error if something would lie too far from the root.
func (r *renaming) checkDepth() error {
	err := r.u.checkMove(r.source, r.from.parent, r.to.parent)
	if err == nil && r.exchange() {
		err = r.u.checkMove(r.target, r.to.parent, r.from.parent)
	}
	return err
}

// isBelow tells whether dir is n or lies below it.
func (u *Union) isBelow(dir, n *Node) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for dir != n {
		if len(dir.links) == 0 {
			return false
		}
		dir = dir.links[0].parent
	}
	return true
}

// copyUpToMove copies up a node that moves. The mount point of a layer cannot move.
func (u *Union) copyUpToMove(n *Node) error {
	if n.isDir() && n.foreign != nil {
		return unix.EBUSY
	}
	if n.isDir() {
		return u.prepareToLeave(n)
	}
	if err := u.copyUp(n, contentBelow); err != nil {
		return err
	}
	return u.anchor(n)
}

// validate looks again, with the directories locked, so that nothing changes any more.
func (r *renaming) validate() (err error) {
	u := r.u
	if r.to.parent.dead.Load() {
		return unix.ENOENT
	}
	if r.sourceObject, err = u.findAgain(r.from.parent, r.from.name, r.source); err != nil {
		return err
	}
	if err := r.validateTarget(); err != nil {
		return err
	}
	if r.below.from, err = u.belowAt(r.from); err != nil {
		return err
	}
	r.below.to, err = u.belowAt(r.to)
	return err
}

// belowAt returns what the lowers show at a name; nil for nothing.
func (u *Union) belowAt(l link) (*object, error) {
	o, err := u.findLower(l.parent, l.name)
	exists, err := visible(err)
	if err != nil || !exists {
		return nil, err
	}
	return &o, nil
}

func (r *renaming) validateTarget() error {
	o, err := r.u.find(r.to.parent, r.to.name)
	r.targetObject = &o
	exists, err := visible(err)
	switch {
	case err != nil:
		return err
	case !exists && r.target == nil:
		return nil
	case !exists || r.target == nil || !r.u.isNodeOf(r.target, &o):
		return unix.ESTALE // the kernel looks both names up again and retries
	case r.exchange() || !r.target.isDir() || r.source == r.target:
		return nil
	}
	return r.u.checkEmpty(r.target)
}

// commit renames, on disk and then in memory.
func (r *renaming) commit() error {
	u := r.u
	oldDir, err := u.backing(r.from.parent, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(oldDir)
	newDir, err := u.backing(r.to.parent, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(newDir)
	if err := r.ready(); err != nil {
		return err
	}
	if err := r.change(oldDir.FD, newDir.FD); err != nil {
		return err
	}
	return r.settle()
}

// change renames on disk and in the links of the nodes. Union.moving keeps an open from finding the one without the
// other.
func (r *renaming) change(oldDir, newDir int) error {
	u := r.u
	u.moving.Lock()
	defer u.moving.Unlock()
	if r.exchange() {
		err := unix.Renameat2(oldDir, r.from.name, newDir, r.to.name, unix.RENAME_EXCHANGE)
		if err == nil {
			u.swapLinks(r.source, r.from, r.target, r.to)
		}
		return err
	}
	err := r.move(oldDir, newDir)
	if err == nil {
		u.moveLink(r.source, r.from, r.to)
	}
	return err
}

// ready makes the moved entries show at their new places what they show now, and keeps the replaced file open.
func (r *renaming) ready() error {
	u := r.u
	if err := u.nameUpper(r.source, r.from, r.sourceObject); err != nil {
		return err
	}
	if err := u.detach(r.source, r.below.to); err != nil {
		return err
	}
	if r.target == nil {
		return nil
	}
	if r.exchange() {
		if err := u.nameUpper(r.target, r.to, r.targetObject); err != nil {
			return err
		}
		return u.detach(r.target, r.below.from)
	}
	if r.targetObject.presentIn() == presentDir {
		if err := u.sweep(r.target); err != nil {
			return err
		}
	}
	r.target.meta.Lock()
	defer r.target.meta.Unlock()
	return u.pin(r.target)
}

// move renames in the upper.
func (r *renaming) move(oldDir, newDir int) error {
	m := r.targetObject.mark
	if r.source.isDir() && m == markEntry {
		// A directory cannot replace a whiteout, but it can change places with it. A whiteout may be needed at the
		// old name anyway.
		err := r.swapWithWhiteout(oldDir, newDir)
		if err == nil {
			return r.u.vanish(oldDir, r.from.name, presentFile, r.below.from != nil)
		}
		if err != unix.EINVAL {
			return err
		}
		if err := hideBeside(newDir, r.to.name); err != nil {
			return err
		}
		m = markFile
	}
	if err := r.moveLeavingWhiteout(oldDir, newDir); err != nil {
		return err
	}
	return clearMark(newDir, r.to.name, m)
}

// swapWithWhiteout makes the source, a directory, and the whiteout at its new name change places. XFS changes the
// mtime of a directory in an exchange, though not in a rename, so the mtime is set again. If that fails, the rename
// has happened all the same.
func (r *renaming) swapWithWhiteout(oldDir, newDir int) error {
	before, err := beneath.Stat(oldDir, r.from.name)
	if err != nil {
		return err
	}
	if err := unix.Renameat2(oldDir, r.from.name, newDir, r.to.name, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	if after, err := beneath.Stat(newDir, r.to.name); err == nil && after.Mtim != before.Mtim {
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, before.Mtim}
		unix.UtimesNanoAt(newDir, r.to.name, times, unix.AT_SYMLINK_NOFOLLOW)
	}
	return nil
}

// sweep removes the whiteouts from a directory of the upper in which nothing shows, so that it is empty on disk, too.
// Its entries are held.
func (u *Union) sweep(n *Node) error {
	if len(n.lowers) > 0 {
		if err := u.partFromLowers(n); err != nil {
			return err
		}
	}
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	return sys.Owning(h.FD, func() error { return rmtree.Below(h.FD) })
}

// moveLeavingWhiteout renames, and leaves a whiteout at the old name if the lowers have it. Where the filesystem can,
// this is one step. Elsewhere there is a moment in which a crash makes the entry of the lower show again.
func (r *renaming) moveLeavingWhiteout(oldDir, newDir int) error {
	if r.below.from == nil {
		return unix.Renameat(oldDir, r.from.name, newDir, r.to.name)
	}
	if !r.u.work.Devices {
		if err := r.u.vanish(oldDir, r.from.name, absent, true); err != nil {
			return err
		}
		return unix.Renameat(oldDir, r.from.name, newDir, r.to.name)
	}
	err := unix.Renameat2(oldDir, r.from.name, newDir, r.to.name, unix.RENAME_WHITEOUT)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
		return err
	}
	if err := unix.Renameat(oldDir, r.from.name, newDir, r.to.name); err != nil {
		return err
	}
	return r.u.vanish(oldDir, r.from.name, absent, true)
}

// settle updates the listings, the counts of subdirectories and the node that was replaced.
func (r *renaming) settle() error {
	u := r.u
	moved, replaced := r.source.oneIfDir(), r.target.oneIfDir()
	r.to.parent.changeSubdirs(moved - replaced)
	if r.exchange() {
		r.from.parent.changeSubdirs(replaced - moved)
		u.attach(r.source, r.below.to)
		u.attach(r.target, r.below.from)
		return nil
	}
	r.from.parent.changeSubdirs(-moved)
	u.attach(r.source, r.below.to)
	r.from.parent.listing.Remove(r.from.name, r.below.from != nil)
	r.to.parent.listing.Add(r.to.name)
	if r.target != nil {
		r.target.meta.Lock()
		defer r.target.meta.Unlock()
		if err := u.unname(r.target, r.to, r.targetObject); err != nil {
			return err
		}
	}
	if r.flags&unix.RENAME_WHITEOUT != 0 {
		return r.leaveDevice()
	}
	return nil
}

// leftDevice is the entry that RENAME_WHITEOUT leaves.
func leftDevice() layerfmt.Stat { return layerfmt.Stat{Mode: unix.S_IFCHR} }

// leaveDevice makes the device that the caller of rename wants at the old name. It is a whiteout to a union that is
// mounted on top of this one, and an ordinary device here.
func (r *renaming) leaveDevice() error {
	o, err := r.u.find(r.from.parent, r.from.name)
	if exists, err := visible(err); exists || err != nil {
		return err
	}
	_, fd, err := r.u.makeEntry(r.from.parent, r.from.name, o.mark, leftDevice(), "", birthACLs{})
	if err != nil {
		return err
	}
	r.u.chargeFile(fd)
	unix.Close(fd)
	r.from.parent.listing.Add(r.from.name)
	return nil
}

func (u *Union) moveLink(n *Node, from, to link) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.carryLocked(n, to.parent)
	u.linkLocked(n, to)
	u.unlinkLocked(n, from)
}

// swapLinks gives a and b each other's names.
func (u *Union) swapLinks(a *Node, nameA link, b *Node, nameB link) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.carryLocked(a, nameB.parent)
	u.carryLocked(b, nameA.parent)
	u.linkLocked(a, nameB)
	u.linkLocked(b, nameA)
	u.unlinkLocked(a, nameA)
	u.unlinkLocked(b, nameB)
}
