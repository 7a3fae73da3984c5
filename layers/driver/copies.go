package driver

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/rcrun/rcrun/layers/internal/scratch"
	"github.com/rcrun/rcrun/layers/tree"
)

// copies are trees that will become layers, by the ids of these layers.
type copies struct {
	mu    sync.Mutex
	ready map[string]*scratch.Dir
}

// Put keeps the tree of a layer for Take.
func (c *copies) Put(id string, place *scratch.Dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready[id] = place
}

// Take returns the tree of a layer and forgets it. It returns nil if there is none.
func (c *copies) Take(id string) *scratch.Dir {
	c.mu.Lock()
	defer c.mu.Unlock()
	place := c.ready[id]
	delete(c.ready, id)
	return place
}

// CopyTree makes a tree above the layer parent, and its index, with the content of the layer same. named are the paths
// that the tar of that layer has entries for. Both are on disk when it returns.
func (d *Driver) CopyTree(parent, same string, named map[string]bool) (_ *scratch.Dir, err error) {
	place, err := scratch.New(d.Layout.Staging())
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, place.Close())
		}
	}()
	lowers, err := d.Layout.Chain(parent)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(place.Path, DiffDir)
	if err := d.Layout.makeTree(dir, d.Layout.ParentTree(parent), ""); err != nil {
		return nil, err
	}
	options := tree.CloneOptions{Named: func(dir string) bool { return named[dir] }, Lowers: lowers}
	return place, d.Layout.clone(dir, d.Layout.Tree(same), options)
}

// commitCopy makes a tree and its index those of a layer, which has an empty tree, and removes the scratch directory
// that they were made in.
func (d *Driver) commitCopy(id string, place *scratch.Dir) error {
	err := os.Rename(filepath.Join(place.Path, IndexName), d.Layout.Index(id))
	if err == nil {
		err = os.Remove(d.Layout.Diff(id))
	}
	if err == nil {
		err = os.Rename(filepath.Join(place.Path, DiffDir), d.Layout.Diff(id))
	}
	return errors.Join(err, place.Close())
}
