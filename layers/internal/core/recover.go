package core

import (
	"fmt"

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
