package unionmount

import (
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
	"golang.org/x/sys/unix"
)

// content says what data a copy must have.
type content int

const (
	contentBelow    content = iota // the data of the lower file, by a reference
	contentOwn                     // a copy of it
	contentNone                    // none, because it would be cut off at once
	contentToRemove                // contentBelow, for a directory of a name to remove, which no quota forbids
)

// copyUp gives a node a backing file in the upper, after the directories above it: a copy of its lower file, complete
// with attributes, which appears in one step. A node that is in the upper already gets the content that it lacks. The
// caller holds no lock.
func (u *Union) copyUp(n *Node, want content) error {
	if u.upper == nil {
		return unix.EROFS
	}
	for !n.inUpper.Load() {
		l, named := u.anyLink(n)
		if !named {
			if err := u.copyUpDeleted(n, want); err != nil {
				return err
			}
			break
		}
		if err := u.copyUp(l.parent, want.ofParent()); err != nil {
			return err
		}
		if err := u.copyUpLink(n, l, want); err != nil {
			return err
		}
	}
	if n.lacksNames.CompareAndSwap(true, false) {
		if err := u.nameCopies(n); err != nil {
			n.lacksNames.Store(true)
			return err
		}
	}
	return u.ownContent(n, want)
}

// ofParent returns what the directory of a copy must have.
func (want content) ofParent() content {
	if want == contentToRemove {
		return want
	}
	return contentBelow
}

func (u *Union) anyLink(n *Node) (link, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(n.links) == 0 {
		return link{}, false
	}
	return n.links[0], true
}

// copyUpLink copies n to the name l. If that is no longer its name, it does nothing, and the caller looks for
// another.
func (u *Union) copyUpLink(n *Node, l link, want content) error {
	l.parent.entries.Lock()
	defer l.parent.entries.Unlock()
	n.meta.Lock()
	defer n.meta.Unlock()
	if now, named := u.anyLink(n); n.inUpper.Load() || !named || now != l {
		return nil
	}
	err := u.copyTo(n, &l, want)
	return n.fault("copy up", err)
}

// copyUpDeleted copies n, which has no name or none any more, to a file without a name.
func (u *Union) copyUpDeleted(n *Node, want content) error {
	n.meta.Lock()
	defer n.meta.Unlock()
	if n.inUpper.Load() {
		return nil
	}
	return n.fault("copy up", u.copyTo(n, nil, want))
}

// publishCopy puts the copy at its name.
func (u *Union) publishCopy(d *draft, at link) error {
	dir, err := u.backing(at.parent, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(dir)
	return unnoticed(dir.FD, func() error { return d.publish(dir.FD, at.name, markNone) })
}

// unnoticed calls do, which changes a directory of the upper in a way that must not show: the times of the directory
// stay.
func unnoticed(dirfd int, do func() error) error {
	before, err := sys.Stat(dirfd)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return sys.SetTimes(dirfd, before.Atim, before.Mtim)
}

// switchToUpper makes the copy the backing file of n, and takes over its descriptor.
func (u *Union) switchToUpper(n *Node, d *draft, group *workdir.Group, pin bool) {
	u.mu.Lock()
	n.upperKey = workdir.Key{Layer: u.upper.Depth, Ino: d.st.Ino}
	u.byFile[n.upperKey] = n
	u.mu.Unlock()
	n.group = group
	n.caps, n.bare = capsUnknown, d.bare && u.upper.XattrsAreOurs()
	n.dataInLower.Store(d.dataInLower)
	n.inUpper.Store(true)
	h := u.fds.Add(n.fdKey(fdcache.Upper), d.take())
	if pin {
		u.fds.Pin(h, fdcache.Upper)
		u.mayBeGone(n)
	}
	u.fds.Release(h)
	u.fds.Drop(n.fdKey(fdcache.LowerData))
}
