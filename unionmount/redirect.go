package unionmount

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// detach makes a directory of the upper show at a new place what it shows now. What is merged into it is noted by
// name, which changes nothing as long as it is at its old place; what the lowers have at the new place is hidden.
func (u *Union) detach(n *Node, newBelow *object) error {
	if !n.isDir() || len(n.lowers) == 0 && newBelow == nil {
		return nil
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	if len(n.lowers) > 0 {
		err := setXattr(h.fd, layerfmt.RedirectXattr, belowOf(n.lowers).Encode())
		if isTooLong(err) {
			return unix.EXDEV // upon which tools copy
		}
		if err != nil {
			return err
		}
	}
	return u.upper.makeOpaque(h.fd)
}

// attach takes back what detach has noted of a directory that is now where the lowers have what it is merged with. The
// note may stay without harm, so it does where it cannot be removed.
func (u *Union) attach(n *Node, below *object) {
	if !n.isDir() || below == nil || !slices.Equal(n.lowers, below.lowers) {
		return
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return
	}
	defer u.fds.release(h)
	if unix.Removexattr(procPath(h.fd), layerfmt.OpaqueXattr) == nil { // first: alone, it would hide the lowers
		unix.Removexattr(procPath(h.fd), layerfmt.RedirectXattr)
	}
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
