package unionmount

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// groupXattr is set on the copy of a lower file that has several names; its value is a linkGroup.
const groupXattr = "user.rcrun.group"

// hiddenSuffix ends the name of the index entry that counts the names of a lower file that are gone.
const hiddenSuffix = ".hidden"

// hidden are names of a lower file that are gone. The last to go changed the ctime, which the lower file cannot be given.
type hidden struct {
	names uint32
	last  unix.Timespec // zero if nothing is to be seen of it any more
}

// linkGroup is what keeps the names of a lower file together after it was copied up: an entry in the index, found by
// the lower file, that is one more hard link of the copy.
type linkGroup struct {
	key  backingKey // the lower file
	left uint32     // names that only the lower has
	// fleeting is a group of what carries no xattrs on disk: it has no entry in the index, and lives as long as its node.
	fleeting bool
}

// indexName returns the name of the index entry of a lower file.
func (k backingKey) indexName() string { return layerfmt.LinkName(k.layer, k.ino) }

func (g *linkGroup) encode() string {
	return fmt.Sprintf("%d:%d:%d", g.key.layer, g.key.ino, g.left)
}

func parseGroup(value string) (*linkGroup, error) {
	fields := strings.Split(value, ":")
	if len(fields) != 3 {
		return nil, fmt.Errorf("%s %q: want layer:inode:names", groupXattr, value)
	}
	layer, err1 := strconv.ParseUint(fields[0], 10, 31)
	ino, err2 := strconv.ParseUint(fields[1], 10, 64)
	left, err3 := strconv.ParseUint(fields[2], 10, 32)
	if err1 != nil || err2 != nil || err3 != nil || ino == 0 {
		return nil, fmt.Errorf("%s %q: bad number", groupXattr, value)
	}
	return &linkGroup{key: backingKey{int(layer), ino}, left: uint32(left)}, nil
}

// nlink returns the number of names, given the link count of the copy, of which one is the index entry's.
func (g *linkGroup) nlink(backing uint32) uint32 {
	if g.fleeting {
		return backing + g.left
	}
	return backing - min(1, backing) + g.left
}

// startGroup makes the draft of a copy of n the head of a group, all names of which are still in the lower.
func (u *Union) startGroup(n *Node, d *draft, names uint32) (*linkGroup, error) {
	g := &linkGroup{key: n.lowerKey, left: names}
	if err := u.upper.xattrs.set(d.fd, groupXattr, g.encode(), 0); err != nil {
		return nil, err
	}
	u.stage.indexed.Store(true)
	if err := unix.Linkat(u.stage.dir, d.name, u.stage.index, g.key.indexName(), 0); err != nil {
		return nil, err
	}
	err := unix.Unlinkat(u.stage.index, g.key.indexName()+hiddenSuffix, 0)
	if err == unix.ENOENT {
		err = nil
	}
	return g, err
}

// dropName notes that a name of n that only the lower had is gone. Meta of n is held.
func (u *Union) dropName(n *Node) error {
	if n.group == nil {
		return u.hideName(n)
	}
	g := *n.group
	g.left -= min(1, g.left)
	if g.fleeting {
		n.group = &g
		return nil
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	if err := u.upper.xattrs.set(h.fd, groupXattr, g.encode(), 0); err != nil {
		return n.fault("count names of", err)
	}
	n.group = &g
	return nil
}

// hideName notes that a name of a lower file that was not copied up is gone; if there are others, for the next mount,
// too. The number lies in the index as the target of a link, whose age is the time and which is replaced in one step.
func (u *Union) hideName(n *Node) error {
	n.hidden.names++
	if !n.shared || n.inUpper.Load() {
		return nil
	}
	tmp := u.stage.name()
	if err := unix.Symlinkat(strconv.FormatUint(uint64(n.hidden.names), 10), u.stage.dir, tmp); err != nil {
		return err
	}
	st, err := statAt(u.stage.dir, tmp)
	if err != nil {
		return err
	}
	n.hidden.last = st.Mtim
	u.stage.indexed.Store(true)
	return unix.Renameat(u.stage.dir, tmp, u.stage.index, n.lowerKey.indexName()+hiddenSuffix)
}

// hiddenNames returns what names of a lower file are gone.
func (s *stage) hiddenNames(k backingKey) (hidden, error) {
	name := k.indexName() + hiddenSuffix
	text, err := beneath.Readlink(s.index, name)
	if err == unix.ENOENT {
		return hidden{}, nil
	}
	if err != nil {
		return hidden{}, err
	}
	count, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return hidden{}, err
	}
	st, err := statAt(s.index, name)
	return hidden{uint32(count), st.Mtim}, err
}

// endGroup removes the index entry of n when it is the last name, so that the space is freed. Meta of n is held, and
// its backing file is pinned.
func (u *Union) endGroup(n *Node) error {
	if n.group == nil || n.group.fleeting || n.group.left > 0 {
		return nil
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	st, err := statFD(h.fd)
	if err != nil || st.Nlink > 1 {
		return err
	}
	err = unix.Unlinkat(u.stage.index, n.group.key.indexName(), 0)
	if err == nil || err == unix.ENOENT {
		n.group = nil
		return nil
	}
	return err
}

// nameUpper gives n, which is in the upper and was found as o by the name l, that name there, too, if so far only
// the lower has it. Entries of l.parent are held.
func (u *Union) nameUpper(n *Node, l link, o *object) error {
	if o.presentIn() != absent {
		return nil
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	parent, err := u.backing(l.parent, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(parent)
	defer u.settle(l.parent, parent.fd, &grant{})
	if err := unnoticed(parent.fd, func() error { return u.linkTo(n, l.parent, l.name, markNone) }); err != nil {
		return err
	}
	if n.group == nil {
		return nil
	}
	return u.dropName(n)
}

// nameCopies gives a copy all its names that are known. The index has others lead to it, too, but not those of the tree's
// readers who know no index: to them, it would be another file.
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

// nameCopy gives a copy the name l in the upper, if it is (still) one of its names.
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
