package layers

import (
	"fmt"
	"slices"

	"go.podman.io/storage"
	"go.podman.io/storage/types"
)

// openLibrary opens the library's store. Where damaged records keep it from that, they are taken out.
func openLibrary(opts types.StoreOptions) (storage.Store, error) {
	lib, err := tryLibrary(opts)
	if err == nil {
		return lib, nil
	}
	found, salvageErr := salvage(opts.GraphRoot, opts.GraphDriverName)
	if salvageErr != nil {
		return nil, fmt.Errorf("%w; %w", err, salvageErr)
	}
	if !found {
		return nil, err
	}
	return tryLibrary(opts)
}

// tryLibrary opens the library's store and reads what it reads only when first asked for, so that all errors about
// records show here.
func tryLibrary(opts types.StoreOptions) (storage.Store, error) {
	lib, err := storage.GetStore(opts)
	if err != nil {
		return nil, err
	}
	if _, err := lib.Layers(); err != nil {
		lib.Free()
		return nil, err
	}
	return lib, nil
}

// isUnfinished tells whether an image is one whose making was cut off: its record comes first and its name last, with
// its files in between. As long as its maker lives, the maker holds the lock, and nobody sees the record.
func isUnfinished(record storage.Image) bool {
	return len(record.Names) == 0 &&
		!(slices.Contains(record.BigDataNames, configKey(record.ID)) && slices.Contains(record.BigDataNames, storage.ImageDigestBigDataKey))
}
