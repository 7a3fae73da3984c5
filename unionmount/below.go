package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/filecopy"
)

// drawContent gives the draft of a copy of n the content that is wanted.
func (u *Union) drawContent(n *Node, d *draft, want content, shown *unix.Stat_t) error {
	if n.kind != unix.S_IFREG || want == contentNone {
		return nil
	}
	size := shown.Size
	if n.dataSlot() != n.firstSlot() || n.still != nil { // what is noted is not what is there now
		st, err := u.statBelow(n)
		if err != nil {
			return err
		}
		size = st.Size
	}
	if want == contentOwn || size < u.upper.leastBorrowed() {
		return u.copyData(n, d.fd)
	}
	return u.borrow(n, d, size)
}

// borrow lets a draft refer to the data of the lower file, or copies it where there is no way to say so, as with a path
// that is too long for an xattr.
func (u *Union) borrow(n *Node, d *draft, size int64) error {
	marks, err := u.marksTo(n.lowers[n.dataSlot():], false)
	if err != nil {
		return err
	}
	if len(marks) == 0 {
		return u.copyData(n, d.fd)
	}
	if err := u.setMarks(d.fd, marks); isTooLong(err) {
		return errors.Join(u.clearMarks(d.fd, false), u.copyData(n, d.fd))
	} else if err != nil {
		return err
	}
	d.borrows = true
	return unix.Ftruncate(d.fd, size) // for those who add up sizes without knowing of the reference
}

// isTooLong tells whether an xattr could not be set because of its length. Of the disk being full the same is said.
func isTooLong(err error) bool {
	return errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ERANGE) || errors.Is(err, unix.ENOSPC)
}

// statBelow stats the lower file that has the data of n. Meta of n is held.
func (u *Union) statBelow(n *Node) (unix.Stat_t, error) {
	h, err := u.backing(n, n.dataSlot())
	if err != nil {
		return unix.Stat_t{}, err
	}
	defer u.fds.release(h)
	st, err := statFD(h.fd)
	return st, n.fault("stat data of", err)
}

// copyData copies the data of n, which is in a lower, to an empty file.
func (u *Union) copyData(n *Node, to int) error {
	from, err := u.data(n)
	if err != nil {
		return err
	}
	defer u.fds.release(from)
	st, err := statFD(from.fd)
	if err != nil {
		return err
	}
	g, err := u.quota.reserveData(from.fd, st.Size)
	if err != nil {
		return err
	}
	defer u.settle(n, to, &g)
	return filecopy.Copy(to, from.fd, st.Size)
}

// ownContent lets n, which is in the upper, borrow its data no longer, unless that is what is wanted.
func (u *Union) ownContent(n *Node, want content) error {
	if want == contentBelow || want == contentToRemove || !n.borrows.Load() {
		return nil
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	if !n.borrows.Load() {
		return nil
	}
	return n.fault("copy data of", u.ownContentHeld(n, want))
}

// ownContentHeld fills the backing file in place, where all its names and descriptors find it. Until the reference is
// removed, which is one step, the data of the lower counts and what is in the file does not.
func (u *Union) ownContentHeld(n *Node, want content) error {
	fd, err := u.openFile(n, slotUpper, unix.O_RDWR)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	defer u.settle(n, fd, &grant{})
	before, err := statFD(fd)
	if err != nil {
		return err
	}
	if want == contentNone || before.Blocks > 0 { // from an attempt that a crash has ended
		if err := unix.Ftruncate(fd, 0); err != nil {
			return err
		}
	}
	if want == contentOwn {
		if err := u.copyData(n, fd); err != nil {
			return errors.Join(err, hollow(fd, before.Size))
		}
	}
	if err := setTimes(fd, before.Atim, before.Mtim); err != nil {
		return err
	}
	if err := u.clearMarks(fd, false); err != nil {
		return err
	}
	n.borrows.Store(false)
	u.fds.drop(fdKey{n, slotLowerData})
	return nil
}

// anchor has the reference of a file in the upper that borrows its data hold at any other name or place, too: the kernel
// notes a path only of files that it renames. Without a way to say so the file gets its own data.
func (u *Union) anchor(n *Node) error {
	if !n.borrows.Load() || u.upper.Ownership == CallerOwned {
		return nil
	}
	noted, err := u.noteData(n)
	if noted || err != nil {
		return n.fault("refer to data of", err)
	}
	return u.ownContent(n, contentOwn)
}

// noteData notes where the data of n is, if it can.
func (u *Union) noteData(n *Node) (bool, error) {
	n.meta.Lock()
	defer n.meta.Unlock()
	marks, err := u.marksTo(n.lowers[n.dataSlot():], false)
	if len(marks) == 0 || err != nil || !n.borrows.Load() {
		return false, err
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return false, err
	}
	defer u.fds.release(h)
	defer u.settle(n, h.fd, &grant{})
	err = u.setMarks(h.fd, marks)
	return err == nil, err
}

// hollow gives back the space of a file that could not be filled.
func hollow(fd int, size int64) error {
	if err := unix.Ftruncate(fd, 0); err != nil {
		return err
	}
	return unix.Ftruncate(fd, size)
}
