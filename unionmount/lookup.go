package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// object is what the layers together have at a name.
type object struct {
	top      *probed // of the topmost layer that has it
	topLayer *layer
	inUpper  bool
	indexed  bool       // in the upper, but not by this name: it is a name of a copied-up hard link
	lowers   []place    // as Node.lowers
	lowerKey backingKey // as Node.lowerKey
	hidden   hidden     // as Node.hidden
	made     bool       // just now
	mark     mark
}

// mark is what the upper holds at a name where nothing of it is to be seen.
type mark int

const (
	markNone  mark = iota
	markEntry      // a whiteout that has the name itself
	markFile       // a whiteout file beside it
)

func (o *object) key() backingKey { return backingKey{o.topLayer.depth, o.top.st.Ino} }

func (o *object) ino() uint64 {
	if o.top.origin.ino != 0 {
		return o.top.origin.ino
	}
	return o.topLayer.showIno(o.top.st.Ino)
}

// shownIno returns what is seen of an inode number.
func (u *Union) shownIno(ino uint64) uint64 {
	if !u.opts.Ino32 {
		return ino
	}
	return max(uint64(uint32(ino^ino>>32)), 1) // 0 means none
}

// Lookup returns the node of a name in a directory, with its attributes. It counts as a lookup of the node, to be
// taken back by Forget. A name that does not exist is ENOENT.
func (u *Union) Lookup(dir *Node, name string) (*Node, Attr, error) {
	if err := checkName(name); err != nil {
		return nil, Attr{}, err
	}
	dir.entries.RLock()
	defer dir.entries.RUnlock()
	return u.lookupHeld(dir, name)
}

// lookupHeld is Lookup with entries of dir held.
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

// find asks the layers for a name, from the top: the first non-directory is it, directories merge until something
// hides what is below. Where nothing is found, the error is a bare ENOENT and the object tells the upper's mark.
// Entries of dir are held.
func (u *Union) find(dir *Node, name string) (object, error) {
	if dir.isDir() && dir.listing.lacks(name) {
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
	way := dir.wayTo(name)
	for slot := way.next(first); slot < dir.layers(); slot = way.next(slot + 1) {
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

// findIn adds to o what one backing directory has at a name, and tells whether those below it count.
func (u *Union) findIn(dir *Node, slot int, name string, o *object) (more bool, err error) {
	if slot >= 0 && dir.lowers[slot].dir.Known() {
		return u.findIndexed(dir, slot, name, o)
	}
	l := dir.layerAt(slot)
	u.diskLookups.Add(1)
	h, err := u.backing(dir, slot)
	if err != nil {
		return false, err
	}
	defer u.fds.release(h)
	p, err := l.probe(h.fd, name)
	seen, err := p.seen(err)
	if err != nil {
		return false, dir.fault("look up "+name+" in", err)
	}
	found := o.top != nil
	shows, more := layerfmt.Merge(found, seen)
	if shows {
		err = u.addFound(o, dir, slot, name, &p, h.fd)
	}
	if seen.Whiteout && slot == slotUpper {
		o.mark = markEntry
	}
	if err != nil || !more || slot == dir.layers()-1 { // the lowest, below which nothing can be hidden
		return false, err
	}
	l.seeMarks(&seen, h.fd, name)
	_, more = layerfmt.Merge(found, seen)
	if seen.Kind == layerfmt.Absent && seen.Covered && slot == slotUpper {
		o.mark = markFile
	}
	return more, nil
}

// addFound adds to o the entry that the backing directory dirfd of a slot has, and what it refers to.
func (u *Union) addFound(o *object, dir *Node, slot int, name string, p *probed, dirfd int) error {
	if slot == slotUpper {
		if err := u.findOrigin(p, dirfd, name); err != nil {
			return dir.fault("look up "+name+" in", err)
		}
	}
	o.add(dir, slot, name, dir.layerAt(slot), p)
	if ref := p.below(); ref != nil {
		return dir.fault("follow "+name+" in", u.addBelow(o, ref, dir, slot, name))
	}
	return nil
}

// add notes an entry of one layer.
func (o *object) add(dir *Node, slot int, name string, l *layer, p *probed) {
	if o.top == nil {
		o.top, o.topLayer = p, l
		o.inUpper = slot == slotUpper
	}
	if slot == slotUpper {
		return
	}
	if o.lowerKey.ino == 0 {
		o.lowerKey = backingKey{l.depth, p.st.Ino}
	}
	if !p.foreign {
		o.lowers = append(o.lowers, dir.lowers[slot].child(name))
	}
}

// opaqueInside tells whether the directory name in dirfd holds an opaque marker file.
func opaqueInside(dirfd int, name string) bool {
	fd, err := beneath.OpenPath(dirfd, name+"/"+layerfmt.OpaqueMarker, unix.O_PATH)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// followIndex leads from a lower name of a hard-linked file to the copy that was made through another name.
func (u *Union) followIndex(o *object) error {
	if u.upper == nil || o.inUpper || o.top.isDir() || o.top.foreign || o.top.st.Nlink < 2 || !u.stage.indexed.Load() {
		return nil
	}
	u.diskLookups.Add(1)
	p, err := u.upper.probe(u.stage.index, o.lowerKey.indexName())
	if isNotExist(err) {
		o.hidden, err = u.stage.hiddenNames(o.lowerKey)
	} else if err == nil {
		o.top, o.topLayer, o.inUpper, o.indexed = &p, u.upper, true, true
	}
	return fault("look up index of", o.topLayer, o.lowers[0].full(), err)
}

// visible tells whether a lookup error means that there is nothing, or that it could not be found out.
func visible(err error) (bool, error) {
	if err == nil {
		return true, nil
	}
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return false, err
}
