package unionmount

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
)

// startGroup puts the draft of a copy of n into the index, as the file of a group of names that only the lower has
// yet.
func (u *Union) startGroup(n *Node, d *draft, names uint32) (*workdir.Group, error) {
	g := &workdir.Group{Lower: n.lowerKey, Left: names}
	if err := u.upper.Xattrs.Set(d.fd, workdir.GroupXattr, g.Encode(), 0); err != nil {
		return nil, err
	}
	u.work.MayHaveLinks.Store(true)
	if err := unix.Linkat(u.work.Drafts, d.name, u.work.Index, g.Lower.IndexName(), 0); err != nil {
		return nil, err
	}
	err := unix.Unlinkat(u.work.Index, g.Lower.IndexName()+workdir.HiddenSuffix, 0)
	if err == unix.ENOENT {
		err = nil
	}
	return g, err
}

// dropName notes that a name of n, which only the lower had, is gone. Meta of n is held.
func (u *Union) dropName(n *Node) error {
	if n.group == nil {
		return u.hideName(n)
	}
	g := *n.group
	g.Left -= min(1, g.Left)
	if g.Fleeting {
		n.group = &g
		return nil
	}
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	if err := u.upper.Xattrs.Set(h.FD, workdir.GroupXattr, g.Encode(), 0); err != nil {
		return n.fault("count names of", err)
	}
	n.group = &g
	return nil
}

// hideName notes that a name of a lower file without a copy is gone. If the file has other names, the note is also
// for the next mount. Then the number of hidden names is in the index as the target of a symbolic link: its mtime is
// the time of the last deletion, and it is replaced in one step.
func (u *Union) hideName(n *Node) error {
	n.hidden.Names++
	if !n.shared || n.inUpper.Load() {
		return nil
	}
	tmp := u.work.NewName()
	if err := unix.Symlinkat(strconv.FormatUint(uint64(n.hidden.Names), 10), u.work.Drafts, tmp); err != nil {
		return err
	}
	st, err := beneath.Stat(u.work.Drafts, tmp)
	if err != nil {
		return err
	}
	n.hidden.Last = st.Mtim
	u.work.MayHaveLinks.Store(true)
	return unix.Renameat(u.work.Drafts, tmp, u.work.Index, n.lowerKey.IndexName()+workdir.HiddenSuffix)
}

// endGroup removes the index entry of n if it is the last name of the file, so that the space is freed. Meta of n is
// held, and its backing file is pinned.
func (u *Union) endGroup(n *Node) error {
	if n.group == nil || n.group.Fleeting || n.group.Left > 0 {
		return nil
	}
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	st, err := sys.Stat(h.FD)
	if err != nil || st.Nlink > 1 {
		return err
	}
	err = unix.Unlinkat(u.work.Index, n.group.Lower.IndexName(), 0)
	if err == nil || err == unix.ENOENT {
		n.group = nil
		return nil
	}
	return err
}

// nameUpper gives n, which is in the upper, the name l there, if so far only the lower has it. o is what was found at
// l. Entries of l.parent are held.
func (u *Union) nameUpper(n *Node, l link, o *object) error {
	if o.presentIn() != absent {
		return nil
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	parent, err := u.backing(l.parent, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(parent)
	defer l.parent.account.Settle(parent.FD, &quota.Grant{})
	if err := unnoticed(parent.FD, func() error { return u.linkTo(n, l.parent, l.name, markNone) }); err != nil {
		return err
	}
	if n.group == nil {
		return nil
	}
	return u.dropName(n)
}

// nameCopies gives a copy all of its known names. The index leads lookups of other names to it, but programs that
// read the tree without the index would see another file there.
func (u *Union) nameCopies(n *Node) error {
	for _, l := range u.linksOf(n) {
		if err := u.copyUp(l.parent, contentBelow); err != nil {
			return err
		}
		if err := u.nameCopy(n, l); err != nil {
			return err
		}
	}
	return nil
}

// nameCopy gives a copy the name l in the upper, if that is still one of its names.
func (u *Union) nameCopy(n *Node, l link) error {
	l.parent.entries.Lock()
	defer l.parent.entries.Unlock()
	o, err := u.find(l.parent, l.name)
	exists, err := visible(err)
	if err != nil || !exists || !u.isNodeOf(n, &o) {
		return err
	}
	return n.fault("link", u.nameUpper(n, l, &o))
}
