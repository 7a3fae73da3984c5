package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.podman.io/storage"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/tree"
)

// Stack is what to mount for a container.
type Stack = layerfmt.Stack

// Quota limits what a container's layer may take on disk.
type Quota = layerfmt.Quota

// Lower is a layer of an image.
type Lower = layerfmt.Lower

// CreateContainer makes the read-write layer of a container. id is the container's full id. name is a further name,
// which the store keeps unique, or "". A container without an image has no lower layers. The error has the class
// errdefs.ErrConflict when the id or the name is taken.
func (s *Store) CreateContainer(ctx context.Context, id, name string, image *Image) error {
	return s.CreateLimited(ctx, id, name, image, Quota{})
}

// CreateLimited is CreateContainer for a container with a quota, which only the driver "fuse" can keep.
func (s *Store) CreateLimited(ctx context.Context, id, name string, image *Image, limit Quota) error {
	if err := driver.CheckID(id); err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	var names []string
	if name != "" {
		names = []string{name}
	}
	imageID := ""
	if image != nil {
		imageID = image.ID
	}
	err := s.core.Change(ctx, func() error {
		_, err := s.core.Lib.CreateContainer(id, names, imageID, id, "",
			&storage.ContainerOptions{LabelOpts: []string{"disable"}, StorageOpt: limit.Options()})
		return err
	})
	switch {
	case errors.Is(err, storage.ErrDuplicateName):
		return fault.Errorf(errdefs.ErrConflict, "create container: the name %q is taken by another container", name)
	case errors.Is(err, storage.ErrDuplicateID):
		return fault.Errorf(errdefs.ErrConflict, "create container: the id %s is taken", id)
	case errors.Is(err, storage.ErrImageUnknown):
		return fault.Errorf(errdefs.ErrNotFound, "create container: image %s has been removed", imageID)
	case err != nil:
		return fmt.Errorf("create container %s: %w", id, err)
	}
	return nil
}

// RemoveContainer removes the read-write layer of a container, given its full id. It is no error if the container is
// gone, or if a killed process has made or removed it in part.
func (s *Store) RemoveContainer(ctx context.Context, id string) error {
	// The library also takes names and abbreviated ids, which would mean another container here.
	record, err := s.core.Lib.Container(id)
	if err == nil && record.ID == id {
		return wrapRemove(id, s.core.Free(ctx, id, func() error { return s.core.Lib.DeleteContainer(id) }))
	}
	if err != nil && !core.IsMissing(err) {
		return wrapRemove(id, err)
	}
	layer, err := s.core.Lib.Layer(id)
	if err == nil && layer.ID == id {
		return wrapRemove(id, s.core.Free(ctx, id, func() error { return s.core.Lib.DeleteLayer(id) }))
	}
	return wrapRemove(id, err)
}

func wrapRemove(id string, err error) error {
	if err == nil || core.IsMissing(err) {
		return nil
	}
	return fmt.Errorf("remove container %s: %w", id, err)
}

// ContainerStack returns the directories of a container. It reads one small file per layer at most and takes no lock.
// The error has the class errdefs.ErrNotFound when there is no such container.
func (s *Store) ContainerStack(ctx context.Context, id string) (Stack, error) {
	if ctx.Err() != nil {
		return Stack{}, context.Cause(ctx)
	}
	var stack Stack
	var err error
	switch s.core.DriverName {
	case driver.Overlay:
		stack, err = driver.OverlayLayout{Home: filepath.Join(s.core.Root, driver.Overlay)}.Stack(id)
	case driver.VFS:
		stack, err = s.core.VFS().Stack(id)
	default:
		stack, err = s.core.Layout.Stack(id)
	}
	if errors.Is(err, os.ErrNotExist) {
		return Stack{}, fault.Errorf(errdefs.ErrNotFound, "no layer for container %s in the store", id)
	}
	if err != nil {
		return Stack{}, fmt.Errorf("find the layers of container %s: %w", id, err)
	}
	return stack, nil
}

// ContainerSize returns how much a container has added to its image, in bytes.
func (s *Store) ContainerSize(ctx context.Context, id string) (size int64, err error) {
	stack, err := s.ContainerStack(ctx, id)
	if err == nil && s.core.DriverName == driver.VFS {
		var c tree.Copy
		if c, err = s.vfsCopy(id, nil); err == nil {
			size, err = c.Size(ctx)
		}
	} else if err == nil {
		size, err = tree.Size(ctx, s.upperTree(id, stack))
	}
	if err != nil {
		return 0, fmt.Errorf("measure container %s: %w", id, err)
	}
	return size, nil
}

// upperTree returns the tree that a container writes to.
func (s *Store) upperTree(id string, stack Stack) tree.Tree {
	if s.core.DriverName == driver.Fuse {
		return s.core.Layout.Tree(id)
	}
	return tree.Tree{Dir: stack.Upper, HostOwned: true}
}

// vfsCopy returns the tree of a container in a store with the driver "vfs".
func (s *Store) vfsCopy(id string, between []string) (tree.Copy, error) {
	layer, err := s.core.Lib.Layer(id)
	if err != nil {
		return tree.Copy{}, err
	}
	return s.core.VFS().Copy(id, layer.Parent, between), nil
}

// ContainerIDs returns the ids of the containers that have a layer. Containers whose making or removal was cut off are
// among them.
func (s *Store) ContainerIDs(ctx context.Context) ([]string, error) { return s.core.ContainerIDs(ctx) }
