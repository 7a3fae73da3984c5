package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
)

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
	g, err := r.u.quota.reserve(r.needs())
	if err != nil {
		return r.source.fault("rename", err)
	}
	defer g.release()
	defer r.u.settleAll(oldDir, newDir, r.source, r.target)
	if err := r.commit(); err != nil {
		oldDir.listing.doubt(oldName)
		newDir.listing.doubt(newName)
		return r.source.fault("rename", err)
	}
	return nil
}

// needs is what a rename takes that is known before.
func (r *renaming) needs() usage {
	if r.flags&unix.RENAME_WHITEOUT != 0 {
		return usage{inodes: 1}
	}
	return usage{}
}

func validRenameFlags(flags uint) bool {
	const known = unix.RENAME_NOREPLACE | unix.RENAME_EXCHANGE | unix.RENAME_WHITEOUT
	return flags&^known == 0 && (flags&unix.RENAME_EXCHANGE == 0 || flags == unix.RENAME_EXCHANGE)
}

// renaming is a rename under way: prepare with nothing locked, then validate and commit with the directories locked.
type renaming struct {
	u        *Union
	from, to link
	flags    uint

	source, target             *Node    // target is nil where the new name is free
	sourceObject, targetObject *object  // set by validate
	below                      struct { // what the lowers have at the two names; set by validate
		from, to *object // nil for nothing
	}
}

func (r *renaming) exchange() bool { return r.flags&unix.RENAME_EXCHANGE != 0 }

// done gives back the lookups of prepare.
func (r *renaming) done() {
	for _, n := range []*Node{r.source, r.target} {
		if n != nil {
			r.u.Forget(n, 1)
		}
	}
}

// prepare finds the nodes and has everything in the upper that is to move or to be changed.
func (r *renaming) prepare() (err error) {
	if r.u.upper == nil {
		return unix.EROFS
	}
	if r.flags&unix.RENAME_WHITEOUT != 0 && r.u.upper.isWhiteout(leftDevice()) {
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

// checkTypes refuses what no state of the directories' contents can make right.
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

// checkDepth refuses what would take something too far from the root.
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

// copyUpToMove has what is to move in the upper. The mount point of a layer stays where it is.
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

// validate looks again, now that nothing can change any more.
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

// belowAt returns what the lowers have at a name, nil for nothing.
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

// commit does it, on disk and then in memory.
func (r *renaming) commit() error {
	u := r.u
	oldDir, err := u.backing(r.from.parent, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(oldDir)
	newDir, err := u.backing(r.to.parent, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(newDir)
	if err := r.ready(); err != nil {
		return err
	}
	if err := r.change(oldDir.fd, newDir.fd); err != nil {
		return err
	}
	return r.settle()
}

// change renames on disk and in the nodes' links, with nobody between who would find the one without the other.
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

// ready lets the moved entries show at their new places what they show now, and keeps hold of what is replaced.
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
		// A directory cannot replace a whiteout, but change places with it, and one may be wanted there.
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

// swapWithWhiteout has the source, a directory, change places with the whiteout at its new name. It keeps its mtime, which
// it loses on XFS when it is exchanged, and nowhere when it is renamed. Should that fail, the rename has happened.
func (r *renaming) swapWithWhiteout(oldDir, newDir int) error {
	before, err := statAt(oldDir, r.from.name)
	if err != nil {
		return err
	}
	if err := unix.Renameat2(oldDir, r.from.name, newDir, r.to.name, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	if after, err := statAt(newDir, r.to.name); err == nil && after.Mtim != before.Mtim {
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, before.Mtim}
		unix.UtimesNanoAt(newDir, r.to.name, times, unix.AT_SYMLINK_NOFOLLOW)
	}
	return nil
}

// sweep removes the whiteouts from a directory of the upper in which nothing is to be seen, so that it is empty on disk,
// too. Entries of it are held.
func (u *Union) sweep(n *Node) error {
	if len(n.lowers) > 0 {
		if err := u.partFromLowers(n); err != nil {
			return err
		}
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	return owning(h.fd, func() error { return rmtree.Below(h.fd) })
}

// moveLeavingWhiteout renames, and leaves a whiteout at the old name if the lowers have it: in the same step where
// the filesystem can, else with a moment, for a crash to hit, in which the lower's entry shows again.
func (r *renaming) moveLeavingWhiteout(oldDir, newDir int) error {
	if r.below.from == nil {
		return unix.Renameat(oldDir, r.from.name, newDir, r.to.name)
	}
	if !r.u.stage.devices {
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

// settle updates listings and the node that was replaced.
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
	r.from.parent.listing.remove(r.from.name, r.below.from != nil)
	r.to.parent.listing.add(r.to.name)
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

// leftDevice is what RENAME_WHITEOUT leaves.
func leftDevice() layerfmt.Stat { return layerfmt.Stat{Mode: unix.S_IFCHR} }

// leaveDevice makes the device that a caller of rename wants at the old name: a whiteout to whoever mounts a union on
// top of this one, and here a device like others.
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
	r.from.parent.listing.add(r.from.name)
	return nil
}

func (u *Union) moveLink(n *Node, from, to link) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.carryLocked(n, to.parent)
	u.linkLocked(n, to)
	u.unlinkLocked(n, from)
}

// swapLinks lets a and b have each other's names.
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
