package registry

import (
	"context"
	"errors"
	"io"

	"go.podman.io/image/v5/pkg/blobinfocache/none"
	"go.podman.io/image/v5/types"
)

// openBlobAt opens a blob of an image at an offset. If the registry cannot send a part, it sends the blob from its
// beginning, and openBlobAt throws away what comes before the offset.
func openBlobAt(ctx context.Context, src types.ImageSource, blob types.BlobInfo, offset int64) (io.ReadCloser, error) {
	if offset > 0 {
		body, err := openRange(ctx, src, blob, offset)
		if err == nil || isTransient(err) || ctx.Err() != nil {
			return body, err
		}
	}
	body, _, err := src.GetBlob(ctx, blob, none.NoCache)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, body, offset); err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return body, nil
}
