package driver

import (
	"os"
	"path/filepath"

	graphdriver "go.podman.io/storage/drivers"

	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// removal is a driver of the library's whose layers are removed by this package: the library's own removal holds a
// descriptor for each level of a tree, and how many there are was for a container to decide. The type of the function
// that ends a removal is the library's own, and inferred like those of staging.
type removal[C ~func() error] struct {
	graphdriver.Driver
	layout Layout
}

// inferRemoval makes a removal with the types of the method, which it does not call.
func inferRemoval[C ~func() error](_ func(graphdriver.Driver, string) (C, error), d graphdriver.Driver,
	l Layout) removal[C] {
	return removal[C]{Driver: d, layout: l}
}

// DeferredRemove takes a layer out of the store. The function that it returns removes the files, which takes its time
// and needs no lock. Should the process be killed before, whoever opens the store next removes them.
func (r removal[C]) DeferredRemove(id string) (C, error) {
	place, err := scratch.New(r.layout.Staging())
	if err != nil {
		return nil, err
	}
	return place.Close, os.Rename(r.layout.Layer(id), filepath.Join(place.Path, layersDir))
}

// Remove removes a layer.
func (r removal[C]) Remove(id string) error { return rmtree.Remove(r.layout.Layer(id)) }

// GetTempDirRootDirs returns no directory: there is none that the library would have to clear.
func (r removal[C]) GetTempDirRootDirs() []string { return nil }
