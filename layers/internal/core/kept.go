package core

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers/driver"
)

// KeepTime is how long the store keeps the layers that a pull or load has left which was cut off: its repetition can
// use them.
const KeepTime = 24 * time.Hour

// Abandoned returns the image layers made before a time that no image or container needs, each before the layer below
// it. A container's own layer is never among them, even if the container's record is lost.
func (r *Records) Abandoned(before time.Time) []storage.Layer {
	needed := r.Needed()
	var left []storage.Layer
	for id, layer := range r.Layers {
		if !needed[id] && layer.UncompressedDigest != "" && layer.Created.Before(before) {
			left = append(left, layer)
		}
	}
	depth := func(layer storage.Layer) (n int) {
		for id := layer.Parent; id != "" && n < driver.MaxLayers; id = r.Layers[id].Parent {
			n++
		}
		return n
	}
	slices.SortFunc(left, func(a, b storage.Layer) int { return depth(b) - depth(a) })
	return left
}

// Tidy removes the layers that a pull or load has left which was cut off, if nobody has needed them since.
func (s *Store) Tidy(ctx context.Context, before time.Time) (removed []storage.Layer, err error) {
	if s.AtWork() {
		return nil, nil // that process may be about to use them
	}
	r, err := s.Records(ctx)
	if err != nil {
		return nil, err
	}
	for _, layer := range r.Abandoned(before) {
		if err := s.deleteUnneeded(layer.ID); err != nil {
			return removed, fmt.Errorf("remove layer %s: %w", layer.ID, err)
		}
		if !s.Lib.Exists(layer.ID) { // else another process has come to need it
			removed = append(removed, layer)
		}
	}
	return removed, nil
}
