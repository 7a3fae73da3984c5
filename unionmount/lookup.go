package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
)

// object is what the layers together have at a name.
type object struct {
	top      *layer.Probed // from the topmost layer that has it
	topLayer *layer.Layer
	inUpper  bool
	indexed  bool           // in the upper, but not by this name: it is a name of a copied-up hard link
	lowers   []layer.Place  // as Node.lowers
	lowerKey workdir.Key    // as Node.lowerKey
	hidden   workdir.Hidden // as Node.hidden
	made     bool           // just now
	mark     mark
}

// mark is the whiteout that the upper has at a name.
type mark int

const (
	markNone  mark = iota
	markEntry      // a whiteout that has the name itself
	markFile       // a whiteout file beside it
)

func (o *object) key() workdir.Key { return workdir.Key{Layer: o.topLayer.Depth, Ino: o.top.Stat.Ino} }

func (o *object) ino() uint64 {
	if o.top.Origin.Ino != 0 {
		return o.top.Origin.Ino
	}
	return o.topLayer.ShowIno(o.top.Stat.Ino)
}

// shownIno returns the inode number that a container sees.
func (u *Union) shownIno(ino uint64) uint64 {
	if !u.opts.Ino32 {
		return ino
	}
	return max(uint64(uint32(ino^ino>>32)), 1) // 0 means none
}

// Lookup returns the node of a name in a directory, with its attributes. It counts as a lookup of the node, which
// Forget takes back. A name that does not exist is ENOENT.
func (u *Union) Lookup(dir *Node, name string) (*Node, Attr, error) {
	if err := checkName(name); err != nil {
		return nil, Attr{}, err
	}
	dir.entries.RLock()
	defer dir.entries.RUnlock()
	return u.lookupHeld(dir, name)
}

// lookupHeld is Lookup for a caller that holds entries of dir.
func (u *Union) lookupHeld(dir *Node, name string) (*Node, Attr, error) {
	o, err := u.find(dir, name)
	if err != nil {
		return nil, Attr{}, err
	}
	n := u.adopt(dir, name, &o)
	a, err := u.attrOf(n, &o)
	if err != nil {
		u.Forget(n, 1)
		return nil, Attr{}, err
	}
	return n, a, nil
}

// checkName refuses what cannot be a name in a directory.
func checkName(name string) error {
	switch {
	case len(name) > unix.NAME_MAX:
		return unix.ENAMETOOLONG
	case name == "" || name == "." || name == "..":
		return unix.EINVAL
	}
	for i := 0; i < len(name); i++ {
		if name[i] == '/' || name[i] == 0 {
			return unix.EINVAL
		}
	}
	return nil
}

// checkNewName refuses what cannot become a name in a directory.
func checkNewName(name string) error {
	if layerfmt.ReservedName(name) {
		return unix.EPERM
	}
	return checkName(name)
}

// find asks the layers for a name, from the top downwards, by the rule of layerfmt.Merge. If nothing shows, the error
// is a bare ENOENT, and the object has the mark of the upper. Entries of dir are held.
func (u *Union) find(dir *Node, name string) (object, error) {
	if dir.isDir() && dir.listing.Lacks(name) {
		return object{}, unix.ENOENT
	}
	u.loadWhenPaid(dir)
	return u.findFrom(dir, name, dir.firstSlot())
}

// findLower is find without the upper.
func (u *Union) findLower(dir *Node, name string) (object, error) { return u.findFrom(dir, name, 0) }

func (u *Union) findFrom(dir *Node, name string, first int) (object, error) {
	o := object{}
	if dir.dead.Load() || layerfmt.ReservedName(name) {
		return o, unix.ENOENT
	}
	have := dir.nameIndex().Candidates(name)
	for slot := have.Next(first); slot < dir.layers(); slot = have.Next(slot + 1) {
		more, err := u.findIn(dir, slot, name, &o)
		if err != nil {
			return o, err
		}
		if !more {
			break
		}
	}
	if o.top == nil {
		return o, unix.ENOENT
	}
	return o, u.followIndex(&o)
}

// findIn adds to o what one backing directory has at a name, and tells whether the lower ones count.
func (u *Union) findIn(dir *Node, slot int, name string, o *object) (more bool, err error) {
	if slot >= 0 && dir.lowers[slot].Dir.Known() {
		return u.findIndexed(dir, slot, name, o)
	}
	l := dir.layerAt(slot)
	u.diskLookups.Add(1)
	h, err := u.backing(dir, slot)
	if err != nil {
		return false, err
	}
	defer u.fds.Release(h)
	p, err := l.Probe(h.FD, name)
	seen, err := p.Seen(err)
	if err != nil {
		return false, dir.fault("look up "+name+" in", err)
	}
	found := o.top != nil
	shows, more := layerfmt.Merge(found, seen)
	if shows {
		err = u.addFound(o, dir, slot, name, &p, h.FD)
	}
	if seen.Whiteout && slot == fdcache.Upper {
		o.mark = markEntry
	}
	if err != nil || !more || slot == dir.layers()-1 { // the lowest, below which nothing can be hidden
		return false, err
	}
	l.SeeMarks(&seen, h.FD, name)
	_, more = layerfmt.Merge(found, seen)
	if seen.Kind == layerfmt.Absent && seen.Covered && slot == fdcache.Upper {
		o.mark = markFile
	}
	return more, nil
}

// findIndexed is findIn for a layer with an index.
func (u *Union) findIndexed(dir *Node, slot int, name string, o *object) (more bool, err error) {
	from := dir.lowers[slot]
	u.indexLookups.Add(1)
	e, known, err := from.Dir.Lookup(name)
	if err != nil {
		return false, dir.fault("look up "+name+" in index of", err)
	}
	shows, more := layerfmt.Merge(o.top != nil, seenInIndex(&e, known))
	if !shows {
		return more, nil
	}
	p := from.Layer.FromIndex(&e)
	o.add(dir, slot, name, from.Layer, &p)
	if o.lowers[len(o.lowers)-1].Dir, err = from.Layer.OpenDir(&e, from.Dir); err != nil {
		return false, dir.fault("look up "+name+" in index of", err)
	}
	return more, nil
}

// seenInIndex returns what layerfmt.Merge asks of a lookup in an index.
func seenInIndex(e *layerindex.Entry, found bool) layerfmt.Seen {
	if !found {
		return layerfmt.Seen{}
	}
	return layerfmt.Seen{Kind: layerfmt.KindOf(e.Stat.Mode), Whiteout: e.Whiteout, Opaque: e.Opaque}
}

// addFound adds to o the entry that the backing directory dirfd of a slot has, and the lower files that it refers to.
func (u *Union) addFound(o *object, dir *Node, slot int, name string, p *layer.Probed, dirfd int) error {
	if slot == fdcache.Upper {
		if err := u.findOrigin(p, dirfd, name); err != nil {
			return dir.fault("look up "+name+" in", err)
		}
	}
	o.add(dir, slot, name, dir.layerAt(slot), p)
	if ref := p.Below(); ref != nil {
		return dir.fault("follow "+name+" in", u.addBelow(o, ref, dir, slot, name))
	}
	return nil
}

// add adds an entry of one layer.
func (o *object) add(dir *Node, slot int, name string, l *layer.Layer, p *layer.Probed) {
	if o.top == nil {
		o.top, o.topLayer = p, l
		o.inUpper = slot == fdcache.Upper
	}
	if slot == fdcache.Upper {
		return
	}
	if o.lowerKey.Ino == 0 {
		o.lowerKey = workdir.Key{Layer: l.Depth, Ino: p.Stat.Ino}
	}
	if !p.Foreign {
		o.lowers = append(o.lowers, dir.lowers[slot].Child(name))
	}
}

// followIndex replaces a lower file with several names by the copy that was made of it through another name.
func (u *Union) followIndex(o *object) error {
	if u.upper == nil || o.inUpper || o.top.IsDir() || o.top.Foreign || o.top.Stat.Nlink < 2 ||
		!u.work.MayHaveLinks.Load() {
		return nil
	}
	u.diskLookups.Add(1)
	p, err := u.upper.Probe(u.work.Index, o.lowerKey.IndexName())
	if isNotExist(err) {
		o.hidden, err = u.work.HiddenNames(o.lowerKey)
	} else if err == nil {
		o.top, o.topLayer, o.inUpper, o.indexed = &p, u.upper, true, true
	}
	return fault("look up index of", o.topLayer, o.lowers[0].Full(), err)
}

// visible tells whether the name of a lookup that ended with err exists. An error that leaves that open is returned.
func visible(err error) (bool, error) {
	if err == nil {
		return true, nil
	}
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return false, err
}

// LookupAgain counts one more lookup of a node that is known, and returns its attributes.
func (u *Union) LookupAgain(n *Node) (*Node, Attr, error) {
	a, err := u.Getattr(n)
	if err != nil {
		return nil, Attr{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	n.lookups++
	u.byID[n.id] = n
	return n, a, nil
}

// LookupParent returns a directory that the node is in, looked up once more. The error is ESTALE if the node has no
// name.
func (u *Union) LookupParent(n *Node) (*Node, Attr, error) {
	l, named := u.anyLink(n)
	if !named {
		return nil, Attr{}, unix.ESTALE
	}
	return u.LookupAgain(l.parent)
}
