package core

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"go.podman.io/storage"
)

// Records are the layers, images and containers on record at one moment.
type Records struct {
	Layers     map[string]storage.Layer
	Images     []storage.Image
	Containers []storage.Container
}

// The kinds of records, as the library names the directories of their files.
const (
	LayerRecords     = "layers"
	ImageRecords     = "images"
	containerRecords = "containers"
)

// Records reads all records under one lock, so that they fit each other.
func (s *Store) Records(ctx context.Context) (*Records, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	all, err := s.Lib.MultiList(storage.MultiListOptions{Images: true, Layers: true, Containers: true})
	if err != nil {
		return nil, fmt.Errorf("read the store's records: %w", err)
	}
	r := &Records{Images: all.Images, Containers: all.Containers,
		Layers: make(map[string]storage.Layer, len(all.Layers))}
	for _, layer := range all.Layers {
		r.Layers[layer.ID] = layer
	}
	return r, nil
}

// ContainerIDs returns the ids of the containers that have a layer. Containers whose making or removal was cut off are
// among them.
func (s *Store) ContainerIDs(ctx context.Context) ([]string, error) {
	r, err := s.Records(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, c := range r.Containers {
		ids[c.ID] = true
	}
	for id, layer := range r.Layers {
		if layer.UncompressedDigest == "" {
			ids[id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// Needed returns the ids of the layers that images and containers consist of.
func (r *Records) Needed() map[string]bool {
	needed := map[string]bool{}
	mark := func(id string) {
		for id != "" && !needed[id] {
			needed[id] = true
			id = r.Layers[id].Parent
		}
	}
	for _, img := range r.Images {
		mark(img.TopLayer)
		for _, id := range img.MappedTopLayers {
			mark(id)
		}
	}
	for _, c := range r.Containers {
		mark(c.LayerID)
	}
	return needed
}
