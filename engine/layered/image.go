package layered

import (
	"context"

	"github.com/rcrun/rcrun/layers"
)

// RemoveImage removes an image, or one of its names, as layers.Store.RemoveImage does.
func (e *Engine) RemoveImage(ctx context.Context, ref string, force bool) ([]layers.Removal, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	return store.RemoveImage(ref, layers.RemoveOptions{Force: force, Runs: e.Containers.Runs})
}
