package unionmount

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
)

// openIndex opens the index of a lower whose root has the given attributes. It returns nil where there is none, it is of
// another tree, or it cannot be read: it holds nothing that the tree does not, which then is read itself.
func openIndex(path string, root *unix.Stat_t) *layerindex.Index {
	if path == "" {
		return nil
	}
	x, err := layerindex.Open(path)
	if err != nil {
		return nil
	}
	if top := x.Root(); top.Ino != root.Ino || top.Mtime != root.Mtim {
		x.Close()
		return nil
	}
	return x
}

// indexed is probe for what the layer's index has.
func (l *layer) indexed(e *layerindex.Entry) probed {
	p := probed{id: e.Stat, whiteout: e.Whiteout, opaque: e.Opaque, entry: e}
	p.st = unix.Stat_t{Dev: l.dev, Ino: e.Ino, Mode: e.Stat.Mode, Rdev: e.Stat.Rdev, Size: e.Size, Blocks: e.Blocks,
		Atim: e.Mtime, Mtim: e.Mtime, Ctim: e.Ctime}
	assign(&p.st.Nlink, e.Nlink)
	assign(&p.st.Blksize, uint32(l.blksize))
	return p
}

// findIndexed is findIn where the layer has an index.
func (u *Union) findIndexed(dir *Node, slot int, name string, o *object) (more bool, err error) {
	from := dir.lowers[slot]
	u.indexLookups.Add(1)
	e, known, err := from.dir.Lookup(name)
	if err != nil {
		return false, dir.fault("look up "+name+" in index of", err)
	}
	shows, more := layerfmt.Merge(o.top != nil, seenInIndex(&e, known))
	if !shows {
		return more, nil
	}
	p := from.layer.indexed(&e)
	o.add(dir, slot, name, from.layer, &p)
	if o.lowers[len(o.lowers)-1].dir, err = from.layer.openDir(&e, from.dir); err != nil {
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

// errNotIndexed is the error of what is in a tree whose index alone says what is in it.
var errNotIndexed = fmt.Errorf("its owner is in the index of the layer alone, which does not have it: %w", unix.EIO)

// openDir opens what the index has of the directory e, which was found in parent; none if that cannot be read, so that
// the directory on disk is, unless nothing but the index knows what that stands for.
func (l *layer) openDir(e *layerindex.Entry, parent layerindex.Dir) (layerindex.Dir, error) {
	if !e.IsDir() {
		return layerindex.Dir{}, nil
	}
	d, err := l.contents.Dir(e, parent)
	if err == nil {
		return d, nil
	}
	if l.Plain {
		return layerindex.Dir{}, errors.Join(err, unix.EIO)
	}
	return layerindex.Dir{}, nil
}

// placeAt returns the place of a path in a lower.
func (l *layer) placeAt(path string) (place, error) {
	p := place{layer: l, path: path}
	if l.contents == nil {
		return p, nil
	}
	root := l.contents.Root()
	d, err := l.openDir(&root, layerindex.Dir{})
	for name := range strings.SplitSeq(path, "/") {
		e, found, lookupErr := d.Lookup(name)
		if err = errors.Join(err, lookupErr); err != nil || !found {
			return p, l.ifPlain(err)
		}
		d, err = l.openDir(&e, d)
	}
	p.dir = d
	return p, err
}

// ifPlain is for errors that matter only where nothing but the index tells.
func (l *layer) ifPlain(err error) error {
	if l.Plain {
		return err
	}
	return nil
}

// probeRoot is probe for the root directory.
func (l *layer) probeRoot() (probed, place, error) {
	if l.contents != nil {
		root := l.contents.Root()
		d, err := l.openDir(&root, layerindex.Dir{})
		return l.indexed(&root), place{layer: l, dir: d}, fault("read index of", l, "/", err)
	}
	p, err := l.probe(l.root, ".")
	p.opaque = p.opaque || err == nil && opaqueInside(l.root, ".")
	return p, place{layer: l}, fault("stat", l, "/", err)
}

// still is what is known of a lower file that nobody changes, one of the store's.
type still struct {
	unix.Stat_t
	// indexed says that what follows is known, too.
	indexed bool
	target  string // of a symbolic link
	xattrs  []layerindex.Xattr
}

func newStill(p *probed) *still {
	s := &still{Stat_t: p.st} // by itself: what was found shall not be kept
	if p.entry != nil {
		s.indexed, s.target, s.xattrs = true, p.entry.Target, p.entry.Xattrs
	}
	return s
}

// known returns what the index says of a node that has no file in the upper; nil if there is none. Meta of n is held.
func (n *Node) known() *still {
	if n.inUpper.Load() || n.still == nil || !n.still.indexed {
		return nil
	}
	return n.still
}

func (s *still) xattr(name string) ([]byte, error) {
	for _, x := range s.xattrs {
		if x.Name == name {
			return []byte(x.Value), nil
		}
	}
	return nil, unix.ENODATA
}

func (s *still) xattrNames() []string {
	var names []string
	for _, x := range s.xattrs {
		names = append(names, x.Name)
	}
	return names
}

// checkStill tells whether an opened file is the one that the index was made of.
func (n *Node) checkStill(st *unix.Stat_t) error {
	// In a copy of the store inode numbers differ, which only a layer without xattrs survives: its index goes by names.
	if k := n.known(); k != nil && (st.Ino != k.Ino && !n.lowers[0].layer.Plain || st.Size != k.Size || st.Mtim != k.Mtim) {
		return fmt.Errorf("the file has been changed since its layer was made: %w", unix.ESTALE)
	}
	return nil
}
