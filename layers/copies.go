package layers

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/rcrun/rcrun/layers/tree"
)

// copies are trees that are to become layers, by the ids of those.
type copies struct {
	mu    sync.Mutex
	ready map[string]*scratch
}

func (c *copies) put(id string, place *scratch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready[id] = place
}

// take returns nil where there is none.
func (c *copies) take(id string) *scratch {
	c.mu.Lock()
	defer c.mu.Unlock()
	place := c.ready[id]
	delete(c.ready, id)
	return place
}

// copyTree makes a tree above the layer parent, and its index, with the content of the layer same. named are the paths
// that the tar of that layer has entries for. Both are on disk when it returns.
func (d *driver) copyTree(parent, same string, named map[string]bool) (_ *scratch, err error) {
	place, err := newScratch(d.layout.staging())
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, place.Close())
		}
	}()
	lowers, err := d.layout.chain(parent)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(place.Path, diffDir)
	if err := d.layout.makeTree(dir, d.layout.parentTree(parent), ""); err != nil {
		return nil, err
	}
	options := tree.CloneOptions{Named: func(dir string) bool { return named[dir] }, Lowers: lowers}
	return place, d.layout.clone(dir, d.layout.tree(same), options)
}

// commitCopy makes a tree and its index those of a layer, which has none yet, and removes what it was made in.
func (d *driver) commitCopy(id string, place *scratch) error {
	err := os.Rename(filepath.Join(place.Path, indexName), d.layout.index(id))
	if err == nil {
		err = os.Remove(d.layout.diff(id))
	}
	if err == nil {
		err = os.Rename(filepath.Join(place.Path, diffDir), d.layout.diff(id))
	}
	return errors.Join(err, place.Close())
}
