package core

import (
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
)

// IsMissing tells whether an error of the library says that there is no such record.
func IsMissing(err error) bool {
	return errors.Is(err, storage.ErrImageUnknown) || errors.Is(err, storage.ErrContainerUnknown) ||
		errors.Is(err, storage.ErrLayerUnknown) || errors.Is(err, storage.ErrNotAContainer) ||
		errors.Is(err, storage.ErrNotALayer) ||
		errors.Is(err, storage.ErrNotAnImage) || errors.Is(err, storage.ErrNotAnID)
}

// ConfigKey is the name under which the library keeps an image's configuration: the digest.
func ConfigKey(id string) string { return digest.NewDigestFromEncoded(digest.SHA256, id).String() }

// IsUnfinished tells whether the making of an image was cut off. The record of an image comes first, its files next and
// its name last. The maker holds the lock until then, so no other process sees the record while the maker lives.
func IsUnfinished(record storage.Image) bool {
	return len(record.Names) == 0 &&
		!(slices.Contains(record.BigDataNames, ConfigKey(record.ID)) &&
			slices.Contains(record.BigDataNames, storage.ImageDigestBigDataKey))
}

// IsNeeded tells whether a layer could not be removed because something needs it.
func IsNeeded(err error) bool {
	return errors.Is(err, storage.ErrLayerHasChildren) || errors.Is(err, storage.ErrLayerUsedByImage) ||
		errors.Is(err, storage.ErrLayerUsedByContainer)
}
