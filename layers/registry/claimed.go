package registry

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/types"
)

// claimedReference is an image in a registry whose blobs come from the cache of claimed blobs.
type claimedReference struct {
	types.ImageReference
	download *download
}

// NewImageSource returns the source of the image that the download has chosen.
func (r claimedReference) NewImageSource(context.Context, *types.SystemContext) (types.ImageSource, error) {
	return claimedSource{r.download.src, r.download}, nil
}

// NewImage returns the image that the download has chosen.
func (r claimedReference) NewImage(ctx context.Context, sys *types.SystemContext) (types.ImageCloser, error) {
	return image.FromSource(ctx, sys, claimedSource{r.download.src, r.download})
}

type claimedSource struct {
	types.ImageSource
	download *download
}

// Close leaves the source open, because the download may need it again.
func (s claimedSource) Close() error { return nil }

// GetManifest returns what the signature policy has judged: the manifest of the image that the download chose, even if
// the registry has a list under the name.
func (s claimedSource) GetManifest(ctx context.Context, instance *digest.Digest) ([]byte, string, error) {
	if instance != nil && *instance != s.download.digest() {
		return nil, "", fmt.Errorf("manifest %s is not that of the image", *instance)
	}
	return s.download.image.Manifest(ctx)
}

// GetBlob returns a blob whose digest and size are verified.
func (s claimedSource) GetBlob(ctx context.Context, blob types.BlobInfo, _ types.BlobInfoCache) (io.ReadCloser, int64,
	error) {
	body, err := s.download.blob(ctx, blob)
	return body, blob.Size, err
}

// GetSignatures returns none: the policy has judged by them, and the store keeps no signatures.
func (s claimedSource) GetSignatures(context.Context, *digest.Digest) ([][]byte, error) {
	return nil, nil
}
