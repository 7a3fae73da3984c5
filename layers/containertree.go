package layers

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/tree"
)

// VFSDiff writes the tar of what a container has changed, in a store with the driver "vfs".
func (s *Store) VFSDiff(ctx context.Context, w io.Writer, id string, between []string) error {
	c, err := s.vfsCopy(id, between)
	if err != nil {
		return err
	}
	return c.Pack(ctx, w)
}

// Below returns the tree of the layer parent, on which a container's layer lies.
func (s *Store) Below(parent string, opts tree.PackOptions) tree.Tree {
	if image := opts.Lowers[opts.Writable.Hidden:]; s.core.DriverName != driver.Fuse && len(image) > 0 {
		return image[0]
	} else if s.core.DriverName != driver.Fuse {
		return tree.Tree{}
	}
	return s.core.Layout.ParentTree(parent)
}

// PackOptions returns the tree of a container's layer and what it lies on. With the driver "vfs" the tree contains
// everything.
func (s *Store) PackOptions(ctx context.Context, id string, between []string) (t tree.Tree, opts tree.PackOptions,
	err error) {
	stack, err := s.ContainerStack(ctx, id)
	if err != nil || s.core.DriverName == driver.VFS {
		return s.upperTree(id, stack), opts, err
	}
	owned := s.core.DriverName != driver.Fuse
	for _, dir := range between {
		layer := s.core.Layout.Between(dir)
		layer.HostOwned = owned
		opts.Lowers = append(opts.Lowers, layer)
	}
	for _, lower := range stack.Lowers {
		layer := driver.TreeOf(lower)
		layer.HostOwned = owned
		opts.Lowers = append(opts.Lowers, layer)
	}
	opts.Writable.Hidden = len(between)
	if !owned {
		opts.Writable.Links = filepath.Join(stack.Work, layerfmt.LinkIndex)
	}
	return s.upperTree(id, stack), opts, nil
}

// ContainerChanges lists what a container, given its full id, has changed in its image. between are the layers between
// the image and the container's own, as in archive.CommitOptions.
func (s *Store) ContainerChanges(ctx context.Context, id string, between []string) ([]tree.Change, error) {
	changes, err := s.changes(ctx, id, between)
	if err != nil {
		return nil, fmt.Errorf("list changes of container %s: %w", id, err)
	}
	return changes, nil
}

func (s *Store) changes(ctx context.Context, id string, between []string) ([]tree.Change, error) {
	if s.core.DriverName == driver.VFS {
		c, err := s.vfsCopy(id, between)
		if err != nil {
			return nil, err
		}
		return c.Changes(ctx)
	}
	t, opts, err := s.PackOptions(ctx, id, between)
	if err != nil {
		return nil, err
	}
	return tree.Changes(ctx, t, opts.Lowers, opts.Writable)
}
