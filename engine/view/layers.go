package view

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
)

// Layer is what is known of a layer of images.
type Layer struct {
	layers.LayerInfo
	Created string // in RFC 3339 with nanoseconds, as templates print it
}

// ContainerLayers are the layers that a container has on top of its image.
type ContainerLayers struct {
	Name    string
	MountID string        // of the layer that takes the container's changes
	InitID  string        // of the layer below that, with the places for mounts
	Parent  digest.Digest // the chain id of the image's uppermost layer, "" without an image
}

// Layers lists the layers that images consist of.
func Layers(ctx context.Context, e *layered.Engine) ([]layers.LayerInfo, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	all, err := store.ImageLayers(ctx)
	if err == nil {
		err = ctx.Err()
	}
	return all, err
}

// InspectLayer returns what is known of a layer, which is named by its chain id, cache id or diff id or an abbreviation
// of one, or else of the layers of a container.
func InspectLayer(ctx context.Context, e *layered.Engine, ref string) (any, error) {
	store, err := e.Store(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	layer, err := store.ImageLayer(ctx, ref)
	if err == nil {
		return Layer{*layer, layer.Created.Format(time.RFC3339Nano)}, nil
	}
	if !errdefs.IsNotFound(err) {
		return nil, err
	}
	c, err := e.Containers.Lookup(ctx, ref)
	if errdefs.IsNotFound(err) {
		return nil, fault.Errorf(errdefs.ErrNotFound, "no such layer or container: %s", ref)
	}
	if err != nil {
		return nil, err
	}
	object := ContainerLayers{Name: c.Name, MountID: c.ID, InitID: initID(c)}
	image, err := imageChain(ctx, store, c.ImageID)
	if err == nil && len(image) > 0 {
		object.Parent = image[0].ChainID
	}
	return object, err
}

// initID is the name of the layer between a container's own and its image.
func initID(c *engine.Container) string { return c.ID + "-init" }

// imageChain returns the layers of an image, the uppermost first; none for no image.
func imageChain(ctx context.Context, s *layers.Store, imageID string) ([]layers.LayerInfo, error) {
	if imageID == "" {
		return nil, nil
	}
	image, err := s.Image(ctx, imageID)
	if err != nil {
		return nil, err
	}
	all, err := s.ImageLayers(ctx)
	if err != nil {
		return nil, err
	}
	var chain []layers.LayerInfo
	for i := range all {
		l := all[len(all)-1-i] // those above come first so
		for _, have := range image.Layers {
			if have.ID == l.CacheID {
				chain = append(chain, l)
			}
		}
	}
	return chain, nil
}
