package layers

import (
	"io"
	"path/filepath"

	"github.com/rcrun/rcrun/layers/tree"
)

// vfsTree returns where the driver keeps the tree of a layer.
func (s *Store) vfsTree(id string) string {
	return filepath.Join(s.root, DriverVFS, "dir", filepath.Base(id))
}

// vfsCopy returns the tree of a container with DriverVFS: a copy of its image's tree, into which all was put that with
// other drivers lies in layers between.
func (s *Store) vfsCopy(id string, between []string) (tree.Copy, error) {
	layer, err := s.lib.Layer(id)
	if err != nil {
		return tree.Copy{}, err
	}
	c := tree.Copy{Tree: tree.Tree{Dir: s.vfsTree(id), HostOwned: true}}
	if layer.Parent != "" {
		c.Of = tree.Lowers{{Dir: s.vfsTree(layer.Parent), HostOwned: true}}
	}
	for _, dir := range between {
		c.Between = append(c.Between, tree.Tree{Dir: dir, HostOwned: true})
	}
	return c, nil
}

// vfsDiff writes the tar of what a container has changed.
func (s *Store) vfsDiff(w io.Writer, id string, between []string) error {
	c, err := s.vfsCopy(id, between)
	if err != nil {
		return err
	}
	return c.Pack(w)
}
