package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
)

// prepareToLeave makes a directory ready to show at another place what it shows now. It is copied up. Then either the
// upper notes what is merged into it, or the upper gets all of that.
func (u *Union) prepareToLeave(n *Node) error {
	if err := u.copyUp(n, contentBelow); err != nil {
		return err
	}
	if len(n.lowers) == 0 || n.complete.Load() {
		return nil
	}
	noted, err := u.noteBelow(n)
	if noted || err != nil {
		return n.fault("refer to what is below", err)
	}
	return u.copyUpTree(n)
}

// noteBelow notes what is merged into a directory, and tells whether it could. The note changes nothing as long as
// the directory is at its old place.
func (u *Union) noteBelow(n *Node) (bool, error) {
	marks, err := u.marksTo(n.lowers, true)
	if len(marks) == 0 || err != nil {
		return false, err
	}
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return false, err
	}
	defer u.fds.Release(h)
	defer n.account.Settle(h.FD, &quota.Grant{})
	err = u.setMarks(h.FD, marks)
	if isTooLong(err) {
		return false, nil
	}
	return err == nil, err
}

// copyUpTree gives everything that shows below a directory a file in the upper, under each of its names, and parts
// the directories from the lowers, from the bottom upwards. Names that are made meanwhile are in the upper anyway.
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
		return unix.EXDEV // a mount point cannot move, but a copy of it can
	}
	if err := u.copyUp(n, contentBelow); err != nil {
		return err
	}
	if n.isDir() {
		if len(n.lowers) == 0 || n.complete.Load() {
			return nil
		}
		return u.copyUpTree(n)
	}
	if err := u.anchor(n); err != nil {
		return err
	}
	return u.nameCopy(n, link{dir, name})
}

// detach makes a directory of the upper show at a new place what it shows now. It notes what is merged into the
// directory, or hides what the lowers have at the new place.
func (u *Union) detach(n *Node, newBelow *object) error {
	switch {
	case !n.isDir() || n.complete.Load() || len(n.lowers) == 0 && newBelow == nil:
		return nil
	case len(n.lowers) == 0:
		return u.hideLowers(n)
	}
	noted, err := u.noteBelow(n)
	if err == nil && !noted {
		err = unix.EXDEV // which makes tools copy
	}
	return err
}

// attach removes the note of detach from a directory that is now where the lowers have what is merged into it. A note
// that cannot be removed does no harm there.
func (u *Union) attach(n *Node, below *object) {
	if !n.isDir() || n.complete.Load() || below == nil || !layer.SamePlaces(n.lowers, below.lowers) {
		return
	}
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return
	}
	defer u.fds.Release(h)
	u.clearMarks(h.FD, true)
}

// hideLowers makes a directory of the upper opaque. It shows nothing of the lowers, and so it shows nothing of them
// at another place, either.
func (u *Union) hideLowers(n *Node) error {
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	return u.upper.MakeOpaque(h.FD)
}

// partFromLowers makes a directory opaque that the upper has all of. Its entries are held.
func (u *Union) partFromLowers(n *Node) error {
	if n.complete.Load() {
		return nil
	}
	if err := u.hideLowers(n); err != nil {
		return err
	}
	if err := u.forgetBelow(n); err != nil {
		return err
	}
	n.complete.Store(true)
	return nil
}

// sweepWhiteouts removes the whiteouts from a directory that is parted from the lowers, because the kernel's overlay
// would list them there. Its entries are held.
func (u *Union) sweepWhiteouts(n *Node) error {
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	fd, err := beneath.Open(h.FD, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
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
	return unnoticed(h.FD, func() error { return u.removeWhiteouts(h.FD, names) })
}

// removeWhiteouts removes those of the given files of an upper directory that are whiteouts. A file that cannot be
// examined stays.
func (u *Union) removeWhiteouts(dirfd int, names []string) error {
	for _, name := range names {
		if p, err := u.upper.Probe(dirfd, name); err != nil || !p.Whiteout && !layerfmt.ReservedName(name) {
			continue
		}
		if err := unix.Unlinkat(dirfd, name, 0); err != nil {
			return err
		}
	}
	return nil
}

// forgetBelow removes the note of what is merged into a directory, which is opaque.
func (u *Union) forgetBelow(n *Node) error {
	marks := u.upper.Marks(&encoding.Reference{}, true)
	if len(marks) == 0 {
		return nil
	}
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	return u.removeXattr(h.FD, marks[0].Name)
}
