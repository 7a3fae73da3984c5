package tree

import (
	"fmt"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/internal/xattrlog"
)

// Tree is a layer's tree on disk, and where it is said of its files what plain ones cannot show. That is in their
// xattrs, where the filesystem keeps some; elsewhere it is in one of two files.
type Tree struct {
	Dir string
	// Index is the path of the index of an image layer that alone says it; "" if the files do, or Side.
	Index string
	// Side is the path of the record, as package xattrlog has it, of the xattrs of a layer that is written; "" for
	// none.
	Side string
	// HostOwned is of a tree whose files are what they show, as in the upper directories of the kernel's overlay.
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

// open returns the root of a tree, whose xattrs are to be closed again.
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
