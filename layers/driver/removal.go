package driver

import (
	"os"
	"path/filepath"

	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// DeferredRemove takes a layer out of the store. The returned function removes the files, which takes time and needs no
// lock. If the process is killed before that, the process that opens the store next removes them.
func (r removal[C]) DeferredRemove(id string) (C, error) {
	place, err := scratch.New(r.layout.Staging())
	if err != nil {
		return nil, err
	}
	return place.Close, os.Rename(r.layout.Layer(id), filepath.Join(place.Path, layersDir))
}

// Remove removes a layer.
func (r removal[C]) Remove(id string) error { return rmtree.Remove(r.layout.Layer(id)) }

// GetTempDirRootDirs returns no directory, because the library has none to clear.
func (r removal[C]) GetTempDirRootDirs() []string { return nil }
