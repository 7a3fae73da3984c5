package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// prepareToLeave has a directory ready to be shown at another place: in the upper, and either able to say there what is
// merged into it, or in no need of it because the upper has all of that.
func (u *Union) prepareToLeave(n *Node) error {
	if err := u.copyUp(n, contentBelow); err != nil {
		return err
	}
	if len(n.lowers) == 0 || n.whole.Load() {
		return nil
	}
	noted, err := u.noteBelow(n)
	if noted || err != nil {
		return n.fault("refer to what is below", err)
	}
	return u.copyUpTree(n)
}

// noteBelow notes what is merged into a directory, if it can, which changes nothing as long as it is at its old place.
func (u *Union) noteBelow(n *Node) (bool, error) {
	marks, err := u.marksTo(n.lowers, true)
	if len(marks) == 0 || err != nil {
		return false, err
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return false, err
	}
	defer u.fds.release(h)
	defer u.settle(n, h.fd, &grant{})
	err = u.setMarks(h.fd, marks)
	if isTooLong(err) {
		return false, nil
	}
	return err == nil, err
}

// copyUpTree gives everything that is to be seen below a directory a file in the upper, under each of its names, and
// parts the directories from the lowers, from the bottom upwards. None of it is lost again: what comes in meanwhile is
// in the upper anyway.
func (u *Union) copyUpTree(dir *Node) error {
	dir.entries.RLock()
	names, err := u.names(dir)
	dir.entries.RUnlock()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := u.copyUpEntry(dir, name); err != nil {
			return err
		}
	}
	dir.entries.Lock()
	defer dir.entries.Unlock()
	defer u.settleAll(dir)
	if err := u.partFromLowers(dir); err != nil {
		return err
	}
	return dir.fault("remove whiteouts from", u.sweepWhiteouts(dir))
}

func (u *Union) copyUpEntry(dir *Node, name string) error {
	n, _, err := u.Lookup(dir, name)
	exists, err := visible(err)
	if err != nil || !exists {
		return err
	}
	defer u.Forget(n, 1)
	if n.isDir() && n.foreign != nil {
		return unix.EXDEV // it cannot go along, but a copy can
	}
	if err := u.copyUp(n, contentBelow); err != nil {
		return err
	}
	if n.isDir() {
		if len(n.lowers) == 0 || n.whole.Load() {
			return nil
		}
		return u.copyUpTree(n)
	}
	if err := u.anchor(n); err != nil {
		return err
	}
	return u.nameCopy(n, link{dir, name})
}

// detach makes a directory of the upper show at a new place what it shows now: what is merged into it is noted, what the
// lowers have at the new place is hidden.
func (u *Union) detach(n *Node, newBelow *object) error {
	switch {
	case !n.isDir() || n.whole.Load() || len(n.lowers) == 0 && newBelow == nil:
		return nil
	case len(n.lowers) == 0:
		return u.hideLowers(n)
	}
	noted, err := u.noteBelow(n)
	if err == nil && !noted {
		err = unix.EXDEV // upon which tools copy
	}
	return err
}

// attach takes back what detach has noted of a directory that is now where the lowers have what it is merged with. The
// note may stay without harm, so it does where it cannot be removed.
func (u *Union) attach(n *Node, below *object) {
	if !n.isDir() || n.whole.Load() || below == nil || !samePlaces(n.lowers, below.lowers) {
		return
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return
	}
	defer u.fds.release(h)
	u.clearMarks(h.fd, true)
}

// hideLowers makes a directory of the upper opaque that shows nothing of the lowers, so that it does not elsewhere.
func (u *Union) hideLowers(n *Node) error {
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	return u.upper.makeOpaque(h.fd)
}

// partFromLowers makes a directory of which everything is in the upper opaque. Entries of it are held.
func (u *Union) partFromLowers(n *Node) error {
	if n.whole.Load() {
		return nil
	}
	if err := u.hideLowers(n); err != nil {
		return err
	}
	if err := u.forgetBelow(n); err != nil {
		return err
	}
	n.whole.Store(true)
	return nil
}

// sweepWhiteouts removes the whiteouts from a directory that is parted from the lowers: the kernel's overlay lists those
// that it finds in such a one. Entries of it are held.
func (u *Union) sweepWhiteouts(n *Node) error {
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	fd, err := openat(h.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var names []string
	if err := beneath.ReadDir(fd, func(e beneath.Entry) {
		if e.Type == unix.DT_CHR || e.Type == unix.DT_REG || e.Type == unix.DT_UNKNOWN {
			names = append(names, e.Name)
		}
	}); err != nil {
		return err
	}
	return unnoticed(h.fd, func() error { return u.removeWhiteouts(h.fd, names) })
}

// removeWhiteouts removes what is a whiteout of some files of an upper directory. One that cannot be examined can stay.
func (u *Union) removeWhiteouts(dirfd int, names []string) error {
	for _, name := range names {
		if p, err := u.upper.probe(dirfd, name); err != nil || !p.whiteout && !layerfmt.ReservedName(name) {
			continue
		}
		if err := unix.Unlinkat(dirfd, name, 0); err != nil {
			return err
		}
	}
	return nil
}

// forgetBelow removes a note of what is merged into an opaque directory.
func (u *Union) forgetBelow(n *Node) error {
	marks := u.upper.marks(&reference{}, true)
	if len(marks) == 0 {
		return nil
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	return u.removeXattr(h.fd, marks[0].name)
}
