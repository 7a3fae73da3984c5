package tree

import (
	"fmt"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/internal/xattrlog"
)

// Tree is a layer's tree on disk, with the place of what plain files cannot show: the files' xattrs, where the
// filesystem keeps some, or else one of two files.
type Tree struct {
	Dir string
	// Index is the path of the index of an image layer that has it; "" if the files' xattrs or Side have it.
	Index string
	// Side is the path of the record of xattrs, in the form of package xattrlog, of a layer that is written; "" for
	// none.
	Side string
	// HostOwned says that the files of the tree are what they show, as in the upper directories of the kernel's
	// overlay.
	HostOwned bool
}

// Root returns the owner and mode of the root directory.
func (t Tree) Root() (layerfmt.Stat, error) {
	pool := &beneath.Pool{}
	defer pool.Close()
	root, err := t.open(pool)
	if err != nil {
		return layerfmt.Stat{}, err
	}
	defer root.xattrs.close()
	return readStat(root.self())
}

// open returns the root of a tree. The caller must close its xattrs.
func (t Tree) open(pool *beneath.Pool) (dir, error) {
	root := dir{xattrs: onDisk{}}
	var err error
	if root.Dir, err = pool.Open(t.Dir); err != nil {
		return root, err
	}
	switch {
	case t.HostOwned:
		root.xattrs = onHost{}
	case t.Index != "":
		index, err := layerindex.Open(t.Index)
		if err != nil {
			return root, fmt.Errorf("owners of %s: %w", t.Dir, err)
		}
		root.xattrs = inIndex{index}
	case t.Side != "":
		st, err := root.self().stat()
		if err != nil {
			return root, err
		}
		records, err := xattrlog.Read(t.Side, st.Ino)
		if err != nil {
			return root, fmt.Errorf("owners of %s: %w", t.Dir, err)
		}
		root.xattrs = inRecord{records}
	}
	return root, nil
}
