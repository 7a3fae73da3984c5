package view

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/internal/fault"
)

// InspectContainer returns what is known of the container that ref names: with size what it has written, too.
func InspectContainer(ctx context.Context, e *layered.Engine, ref string, size bool) (*engine.Inspection, error) {
	c, err := e.Containers.Lookup(ctx, ref)
	if err != nil {
		return nil, err
	}
	driver, err := layered.FindStorageDriver(e.Containers.Dirs, "")
	if err != nil {
		return nil, err
	}
	i, err := c.Inspect(ctx, driver)
	if err == nil && size {
		err = inspectSize(ctx, e, &i)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return &i, nil
}

// inspectSize adds what a container has written.
func inspectSize(ctx context.Context, e *layered.Engine, i *engine.Inspection) error {
	store, err := e.Store(ctx)
	if err != nil {
		return err
	}
	rw, err := written(ctx, store, i.ID)
	if err != nil {
		return err
	}
	whole := rw
	if i.Image != "" {
		image, err := store.Image(ctx, i.Image)
		if err != nil {
			return err
		}
		whole += image.Size
	}
	i.SizeRw, i.SizeRootFs = &rw, &whole
	return nil
}

// Inspect returns what is known of the container of a name or id, or else of such an image.
func Inspect(ctx context.Context, e *layered.Engine, ref string, size bool) (any, error) {
	if _, err := e.Containers.Lookup(ctx, ref); !errdefs.IsNotFound(err) {
		return InspectContainer(ctx, e, ref, size)
	}
	image, err := InspectImage(ctx, e, ref)
	if errdefs.IsNotFound(err) {
		return nil, fault.Errorf(errdefs.ErrNotFound, "no such container or image: %s", ref)
	}
	return image, err
}
