package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"
)

// content says what data a copy is to have.
type content int

const (
	contentBelow    content = iota // that of the lower file, which it refers to
	contentOwn                     // a copy of it
	contentNone                    // none: it would be cut off at once
	contentToRemove                // contentBelow, of a directory in which something is to be removed, which no quota forbids
)

// copyUp gives a node a backing file in the upper: a copy of its lower one, complete with attributes, that appears
// in one step; its directories first. A node that is in the upper already gets the content that it lacks. The caller
// holds no lock.
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
	if n.unnamed.CompareAndSwap(true, false) {
		if err := u.nameCopies(n); err != nil {
			n.unnamed.Store(true)
			return err
		}
	}
	return u.ownContent(n, want)
}

// ofParent is what a directory is to have in which a copy is made.
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

// copyUpLink copies n to the name l. If that is no longer its name it does nothing, and the caller looks again.
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

// copyUpDeleted copies n, which has no name (any more), to a file without a name.
func (u *Union) copyUpDeleted(n *Node, want content) error {
	n.meta.Lock()
	defer n.meta.Unlock()
	if n.inUpper.Load() {
		return nil
	}
	return n.fault("copy up", u.copyTo(n, nil, want))
}

// copyTo makes the copy of n and publishes it at a name, if one is given. Meta of n is held, and entries of the
// name's directory.
func (u *Union) copyTo(n *Node, at *link, want content) error {
	g, err := u.reserveCopy(want)
	if err != nil {
		return err
	}
	defer g.release()
	d := u.newDraft()
	defer u.settleCopy(n, at)
	defer d.discard()
	if u.copiesData(n, want) { // with the same descriptor, all else is read
		if from, err := u.data(n); err == nil {
			defer u.fds.release(from)
		}
	}
	st, err := u.statBacking(n) // before it is read, which sets its access time
	if err != nil {
		return err
	}
	if err := u.drawCopy(n, d, want, &st); err != nil {
		return err
	}
	group, err := u.groupCopy(n, d, &st)
	if err != nil {
		return err
	}
	if err := u.takeSubdirs(n); err != nil {
		return err
	}
	if at != nil {
		if err := u.noteOrigin(n, d); err != nil {
			return err
		}
		if err := u.publishCopy(d, *at); err != nil {
			u.abandonGroup(group)
			return err
		}
	}
	u.switchToUpper(n, d, group, at == nil)
	u.copyUps.Add(1)
	if group == nil || at == nil {
		return nil
	}
	n.unnamed.Store(u.upper.Ownership == HostOwned)
	return u.dropName(n)
}

// copiesData tells whether a copy of n is known to be made with its data.
func (u *Union) copiesData(n *Node, want content) bool {
	if n.kind != unix.S_IFREG || n.foreign != nil || want == contentNone {
		return false
	}
	return want == contentOwn || u.upper.Ownership == HostOwned && u.upper.refer(n.lowers[n.dataSlot():], false) == nil
}

// groupCopy puts the copy of a file with several names into the index. It counts the name that is about to be
// published as one that only the lower has: after a crash, the count may be too high but not too low.
func (u *Union) groupCopy(n *Node, d *draft, st *unix.Stat_t) (*linkGroup, error) {
	if n.isDir() || n.foreign != nil || st.Nlink < 2 {
		return nil, nil
	}
	names := n.nlink(uint32(st.Nlink))
	if !carriesXattrs(u.upper.copied(n.stat)) {
		return &linkGroup{key: n.lowerKey, left: names, fleeting: true}, nil
	}
	return u.startGroup(n, d, names)
}

// abandonGroup takes the copy out of the index that did not get its name.
func (u *Union) abandonGroup(g *linkGroup) {
	if g != nil && !g.fleeting {
		unix.Unlinkat(u.stage.index, g.key.indexName(), 0) // if it stays, it is a copy equal to the lower file
	}
}

// publishCopy puts the copy at its name.
func (u *Union) publishCopy(d *draft, at link) error {
	dir, err := u.backing(at.parent, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(dir)
	return unnoticed(dir.fd, func() error { return d.publish(dir.fd, at.name, markNone) })
}

// unnoticed changes a directory of the upper in a way that does not show to those who look: its times stay.
func unnoticed(dirfd int, do func() error) error {
	before, err := statFD(dirfd)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return setTimes(dirfd, before.Atim, before.Mtim)
}

// switchToUpper lets n be backed by the copy, whose descriptor it takes.
func (u *Union) switchToUpper(n *Node, d *draft, group *linkGroup, pin bool) {
	u.mu.Lock()
	n.upperKey = backingKey{u.upper.depth, d.st.Ino}
	u.byFile[n.upperKey] = n
	u.mu.Unlock()
	n.group = group
	n.caps, n.bare = capsUnknown, d.bare && u.upper.xattrsAreOurs()
	n.borrows.Store(d.borrows)
	n.inUpper.Store(true)
	h := u.fds.add(fdKey{n, slotUpper}, d.take())
	if pin {
		u.fds.pin(h)
		u.mayBeGone(n)
	}
	u.fds.release(h)
	u.fds.drop(fdKey{n, slotLowerData})
}

// drawCopy makes a copy of n in the stage: type, owner, mode, data, xattrs, times and the inode number to be shown. st is of
// the file that shows.
func (u *Union) drawCopy(n *Node, d *draft, want content, st *unix.Stat_t) error {
	target, err := u.linkTarget(n)
	if err != nil {
		return err
	}
	if err := d.makeAs(u.upper.copied(n.stat), n.stat, target); err != nil {
		return err
	}
	if n.foreign == nil {
		if err := u.drawContent(n, d, want, st); err != nil {
			return err
		}
		if err := u.copyXattrs(n, d); err != nil {
			return err
		}
		if err := d.keepPerm(u.upper.copied(n.stat)); err != nil {
			return err
		}
	}
	if carriesXattrs(u.upper.copied(n.stat)) {
		if err := u.setOrigin(n, d.fd); err != nil {
			return err
		}
	}
	return setTimes(d.fd, st.Atim, st.Mtim)
}

// copyXattrs copies the xattrs of n that a container sees.
func (u *Union) copyXattrs(n *Node, d *draft) error {
	names, err := u.listXattr(n)
	if err != nil {
		return err
	}
	d.bare = len(names) == 0
	for _, name := range names {
		value, err := u.getXattr(n, name)
		if errors.Is(err, unix.ENODATA) {
			continue // in a host directory, it may just have been removed, or be hidden from the caller
		}
		if err != nil {
			return err
		}
		if err := d.giveXattr(name, value); err != nil {
			return err
		}
	}
	return nil
}
