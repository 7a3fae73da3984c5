package layers

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/tree"
)

// vfsDiff writes the tar of what a container has changed.
func (s *Store) vfsDiff(w io.Writer, id string, between []string) error {
	c, err := s.vfsCopy(id, between)
	if err != nil {
		return err
	}
	return c.Pack(w)
}

// below returns the tree that a container's layer lies on, the layer parent's.
func (s *Store) below(parent string, opts tree.PackOptions) tree.Tree {
	if image := opts.Lowers[opts.Writable.Hidden:]; s.driverName != DriverFuse && len(image) > 0 {
		return image[0]
	} else if s.driverName != DriverFuse {
		return tree.Tree{}
	}
	return s.layout.parentTree(parent)
}

// packOptions returns the tree of a container's layer, and what it lies on. With DriverVFS it has all in itself.
func (s *Store) packOptions(id string, between []string) (t tree.Tree, opts tree.PackOptions, err error) {
	stack, err := s.ContainerStack(id)
	if err != nil || s.driverName == DriverVFS {
		return s.upperTree(id, stack), opts, err
	}
	owned := s.driverName != DriverFuse
	for _, dir := range between {
		layer := s.layout.between(dir)
		layer.HostOwned = owned
		opts.Lowers = append(opts.Lowers, layer)
	}
	for _, lower := range stack.Lowers {
		layer := treeOf(lower)
		layer.HostOwned = owned
		opts.Lowers = append(opts.Lowers, layer)
	}
	opts.Writable.Hidden = len(between)
	if !owned {
		opts.Writable.Links = filepath.Join(stack.Work, layerfmt.LinkIndex)
	}
	return s.upperTree(id, stack), opts, nil
}

// ContainerChanges lists what a container, given its full id, has changed in its image. between is as in CommitOptions.
func (s *Store) ContainerChanges(id string, between []string) ([]tree.Change, error) {
	changes, err := s.changes(id, between)
	if err != nil {
		return nil, fmt.Errorf("list changes of container %s: %w", id, err)
	}
	return changes, nil
}

func (s *Store) changes(id string, between []string) ([]tree.Change, error) {
	if s.driverName == DriverVFS {
		c, err := s.vfsCopy(id, between)
		if err != nil {
			return nil, err
		}
		return c.Changes()
	}
	t, opts, err := s.packOptions(id, between)
	if err != nil {
		return nil, err
	}
	return tree.Changes(t, opts.Lowers, opts.Writable)
}
