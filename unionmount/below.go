package unionmount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// below returns what an entry of the upper refers to instead of what has its name in the lowers, or nil.
func (p *probed) below() *layerfmt.Below {
	if p.isDir() {
		return p.redirect
	}
	return p.data
}

// placesOf returns the files that a reference in the upper names.
func (u *Union) placesOf(b *layerfmt.Below) ([]place, error) {
	places := make([]place, len(b.Layers))
	for i, depth := range b.Layers {
		if depth > len(u.lowers) {
			return nil, fmt.Errorf("reference to layer %d of %d", depth, len(u.lowers))
		}
		places[i] = place{u.lowers[len(u.lowers)-depth], b.Path}
	}
	return places, nil
}

// belowOf returns the reference to files that have the same path in all layers. The lowers have no references
// themselves, so those of a node do.
func belowOf(places []place) layerfmt.Below {
	b := layerfmt.Below{Path: places[0].path}
	for _, p := range places {
		b.Layers = append(b.Layers, p.layer.depth)
	}
	return b
}

// drawContent gives the draft of a copy of n the content that is wanted.
func (u *Union) drawContent(n *Node, d *draft, want content) error {
	if n.kind != unix.S_IFREG || want == contentNone {
		return nil
	}
	st, err := u.statBelow(n)
	if err != nil {
		return err
	}
	if want == contentOwn || st.Size == 0 || !u.upper.refersBelow() {
		return u.copyData(n, d.fd)
	}
	return u.borrow(n, d, st.Size)
}

// borrow lets a draft refer to the data of the lower file. A path that is too long for an xattr makes a copy.
func (u *Union) borrow(n *Node, d *draft, size int64) error {
	err := setXattr(d.fd, layerfmt.DataXattr, belowOf(n.lowers).Encode())
	if isTooLong(err) {
		return u.copyData(n, d.fd)
	}
	if err != nil {
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
	h, err := u.backing(n, 0)
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
	return copyFile(to, from.fd, st.Size)
}

// ownContent lets n, which is in the upper, borrow its data no longer, unless that is what is wanted.
func (u *Union) ownContent(n *Node, want content) error {
	if want == contentBelow || !n.borrows.Load() {
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
	if err := unix.Fremovexattr(fd, layerfmt.DataXattr); err != nil {
		return err
	}
	n.borrows.Store(false)
	u.fds.drop(fdKey{n, slotLowerData})
	return nil
}

// hollow gives back the space of a file that could not be filled.
func hollow(fd int, size int64) error {
	if err := unix.Ftruncate(fd, 0); err != nil {
		return err
	}
	return unix.Ftruncate(fd, size)
}
