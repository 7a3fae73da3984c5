package layers

import (
	"fmt"
	"maps"
	"slices"

	"go.podman.io/storage"
)

// records is what the store's files list at one moment.
type records struct {
	layers     map[string]storage.Layer
	images     []storage.Image
	containers []storage.Container
}

// The kinds of records, as the library names the directories of their files.
const (
	layerRecords     = "layers"
	imageRecords     = "images"
	containerRecords = "containers"
)

// records reads all records under one lock, so that they fit each other.
func (s *Store) records() (*records, error) {
	all, err := s.lib.MultiList(storage.MultiListOptions{Images: true, Layers: true, Containers: true})
	if err != nil {
		return nil, fmt.Errorf("read the store's records: %w", err)
	}
	r := &records{images: all.Images, containers: all.Containers, layers: make(map[string]storage.Layer, len(all.Layers))}
	for _, layer := range all.Layers {
		r.layers[layer.ID] = layer
	}
	return r, nil
}

// ContainerIDs returns the ids of the containers that have a layer, those included whose making or removal was cut off.
func (s *Store) ContainerIDs() ([]string, error) {
	r, err := s.records()
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, c := range r.containers {
		ids[c.ID] = true
	}
	for id, layer := range r.layers {
		if layer.UncompressedDigest == "" {
			ids[id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// needed returns the ids of the layers that images and containers consist of.
func (r *records) needed() map[string]bool {
	needed := map[string]bool{}
	mark := func(id string) {
		for id != "" && !needed[id] {
			needed[id] = true
			id = r.layers[id].Parent
		}
	}
	for _, img := range r.images {
		mark(img.TopLayer)
		for _, id := range img.MappedTopLayers {
			mark(id)
		}
	}
	for _, c := range r.containers {
		mark(c.LayerID)
	}
	return needed
}
