package core

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers/driver"
)

// KeepTime is how long layers stay that a cut-off pull or load has left: for its repetition.
const KeepTime = 24 * time.Hour

// Abandoned returns the image layers made before a time that no image or container needs, those above before those
// below. What a container has written is never among them, whatever has become of the container's record.
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

// Tidy removes the layers that a cut-off pull or load has left and that nobody came back for.
func (s *Store) Tidy(ctx context.Context, before time.Time) (removed []storage.Layer, err error) {
	if s.AtWork() {
		return nil, nil // somebody may be about to use them
	}
	r, err := s.Records(ctx)
	if err != nil {
		return nil, err
	}
	for _, layer := range r.Abandoned(before) {
		if err := s.deleteUnneeded(layer.ID); err != nil {
			return removed, fmt.Errorf("remove layer %s: %w", layer.ID, err)
		}
		if !s.Lib.Exists(layer.ID) { // else somebody has come back for it
			removed = append(removed, layer)
		}
	}
	return removed, nil
}
