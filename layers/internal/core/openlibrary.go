package core

import (
	"fmt"

	"go.podman.io/storage"
	"go.podman.io/storage/types"
)

// openLibrary opens the library's store. If damaged records prevent that, it takes them out of their files and tries
// again.
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

// tryLibrary opens the library's store and has it read all records, which the library does only when it is first asked
// for some: so all errors about records show here.
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
