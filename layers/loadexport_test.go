package layers

import (
	"context"

	"go.podman.io/image/v5/types"
)

// loadReference loads an image that is no archive's.
func loadReference(ctx context.Context, t *transfer, src types.ImageReference) error {
	_, err := (&loading{t, LoadOptions{}}).loadOne(ctx, src, nil, nil)
	return err
}
