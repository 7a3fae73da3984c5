package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// isTooLong tells whether an xattr could not be set because of its length. A full disk gives the same error.
func isTooLong(err error) bool {
	return errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ERANGE) || errors.Is(err, unix.ENOSPC)
}

// statBelow returns the attributes of the lower file that has the data of n. Meta of n is held.
func (u *Union) statBelow(n *Node) (unix.Stat_t, error) {
	h, err := u.backing(n, n.dataSlot())
	if err != nil {
		return unix.Stat_t{}, err
	}
	defer u.fds.Release(h)
	st, err := sys.Stat(h.FD)
	return st, n.fault("stat data of", err)
}

// copyData copies the data of n, which is in a lower, to an empty file.
func (u *Union) copyData(n *Node, to int) error {
	from, err := u.data(n)
	if err != nil {
		return err
	}
	defer u.fds.Release(from)
	return u.copyDataFrom(n, from, to)
}

// copyDataFrom is copyData with the data open.
func (u *Union) copyDataFrom(n *Node, from *fdcache.Handle, to int) error {
	st, err := sys.Stat(from.FD)
	if err != nil {
		return err
	}
	g, err := u.quota.ReserveData(from.FD, st.Size)
	if err != nil {
		return err
	}
	defer n.account.Settle(to, &g)
	return filecopy.Copy(to, from.FD, st.Size)
}

// ownContent gives n, which is in the upper, its own data if it is still in a lower, unless that is what is wanted.
func (u *Union) ownContent(n *Node, want content) error {
	if want == contentBelow || want == contentToRemove || !n.dataInLower.Load() {
		return nil
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	if !n.dataInLower.Load() {
		return nil
	}
	return n.fault("copy data of", u.ownContentHeld(n, want))
}

// ownContentHeld fills the backing file in place, so that all its names and descriptors lead to the data. Until the
// reference is removed, in one step, the data of the lower counts, and what is in the file does not.
func (u *Union) ownContentHeld(n *Node, want content) error {
	fd, err := u.openFile(n, fdcache.Upper, unix.O_RDWR)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	defer n.account.Settle(fd, &quota.Grant{})
	before, err := sys.Stat(fd)
	if err != nil {
		return err
	}
	if want == contentNone || before.Blocks > 0 { // left by an attempt that a crash ended
		if err := unix.Ftruncate(fd, 0); err != nil {
			return err
		}
	}
	if want == contentOwn {
		if err := u.copyData(n, fd); err != nil {
			return errors.Join(err, hollow(fd, before.Size))
		}
	}
	if err := sys.SetTimes(fd, before.Atim, before.Mtim); err != nil {
		return err
	}
	if err := u.clearMarks(fd, false); err != nil {
		return err
	}
	n.dataInLower.Store(false)
	u.fds.Drop(n.fdKey(fdcache.LowerData))
	return nil
}

// anchor makes the reference of a file whose data is in a lower independent of the name of the file. Without that it
// says "at the name of this file": the kernel notes a path only of files that it renames. Where a path cannot be
// noted, the file gets its own data.
func (u *Union) anchor(n *Node) error {
	if !n.dataInLower.Load() || !u.upper.HostOwned {
		return nil
	}
	noted, err := u.noteData(n)
	if noted || err != nil {
		return n.fault("refer to data of", err)
	}
	return u.ownContent(n, contentOwn)
}

// noteData notes the path of the data of n, and tells whether it could.
func (u *Union) noteData(n *Node) (bool, error) {
	n.meta.Lock()
	defer n.meta.Unlock()
	marks, err := u.marksTo(n.lowers[n.dataSlot():], false)
	if len(marks) == 0 || err != nil || !n.dataInLower.Load() {
		return false, err
	}
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return false, err
	}
	defer u.fds.Release(h)
	defer n.account.Settle(h.FD, &quota.Grant{})
	err = u.setMarks(h.FD, marks)
	return err == nil, err
}

// hollow frees the blocks of a file that could not be filled, which stays as long as it was.
func hollow(fd int, size int64) error {
	if err := unix.Ftruncate(fd, 0); err != nil {
		return err
	}
	return unix.Ftruncate(fd, size)
}
