package archive

import (
	"context"

	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/layers/internal/intake"
)

// LoadReference loads an image that is no archive's.
func LoadReference(ctx context.Context, t *intake.Transfer, src types.ImageReference) error {
	_, err := (&loading{t, LoadOptions{}}).loadOne(ctx, src, nil, nil)
	return err
}
