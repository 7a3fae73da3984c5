package layer

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// openIndex opens the index of a lower whose root has the given attributes. It returns nil if there is none, it is of
// another tree, or it cannot be read: the tree holds everything that the index does, and is then read itself.
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

// FromIndex is Probe for an entry of the layer's index.
func (l *Layer) FromIndex(e *layerindex.Entry) Probed {
	p := Probed{ID: e.Stat, Whiteout: e.Whiteout, Opaque: e.Opaque, Entry: e}
	p.Stat = unix.Stat_t{Dev: l.Dev, Ino: e.Ino, Mode: e.Stat.Mode, Rdev: e.Stat.Rdev, Size: e.Size, Blocks: e.Blocks,
		Atim: e.Mtime, Mtim: e.Mtime, Ctim: e.Ctime}
	sys.Assign(&p.Stat.Nlink, e.Nlink)
	sys.Assign(&p.Stat.Blksize, uint32(l.blksize))
	return p
}

// errNotIndexed is the error of a file that the index does not have, in a tree that the index alone describes.
var errNotIndexed = fmt.Errorf("its owner is in the index of the layer alone, which does not have it: %w", unix.EIO)

// OpenDir opens what the index has of the directory e, which was found in parent. If that cannot be read, it returns
// none, and the directory on disk is read; but it is an error if the index alone knows what that stands for.
func (l *Layer) OpenDir(e *layerindex.Entry, parent layerindex.Dir) (layerindex.Dir, error) {
	if !e.IsDir() {
		return layerindex.Dir{}, nil
	}
	d, err := l.Contents.Dir(e, parent)
	if err == nil {
		return d, nil
	}
	if l.Plain {
		return layerindex.Dir{}, errors.Join(err, unix.EIO)
	}
	return layerindex.Dir{}, nil
}

// PlaceAt returns the place of a path in a lower.
func (l *Layer) PlaceAt(path string) (Place, error) {
	p := Place{Layer: l, path: path}
	if l.Contents == nil {
		return p, nil
	}
	root := l.Contents.Root()
	d, err := l.OpenDir(&root, layerindex.Dir{})
	for name := range strings.SplitSeq(path, "/") {
		e, found, lookupErr := d.Lookup(name)
		if err = errors.Join(err, lookupErr); err != nil || !found {
			return p, l.ifPlain(err)
		}
		d, err = l.OpenDir(&e, d)
	}
	p.Dir = d
	return p, err
}

// ifPlain returns err only if the index alone describes the tree.
func (l *Layer) ifPlain(err error) error {
	if l.Plain {
		return err
	}
	return nil
}

// ProbeRoot is Probe for the root directory.
func (l *Layer) ProbeRoot() (Probed, Place, error) {
	if l.Contents != nil {
		root := l.Contents.Root()
		d, err := l.OpenDir(&root, layerindex.Dir{})
		return l.FromIndex(&root), Place{Layer: l, Dir: d}, err
	}
	p, err := l.Probe(l.Root, ".")
	p.Opaque = p.Opaque || err == nil && opaqueInside(l.Root, ".")
	return p, Place{Layer: l}, err
}
