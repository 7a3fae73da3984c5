package driver

import (
	"os"
	"path/filepath"

	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/layers/internal/scratch"
)

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
