package layered

import (
	"context"
	"os"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/tree"
)

// Engine is the entry to everything that can be done with containers and images. Any number of goroutines may use it at
// once; its fields are set before that.
type Engine struct {
	// Containers is what can be done with containers that exist.
	Containers *engine.Engine
	// StorageDriver is the driver of an image store that is to be made; a store that is there has its own.
	StorageDriver string
	// NoXattrs has an image store that is to be made do without xattrs, also where its filesystem keeps them.
	NoXattrs bool
	// Limits is layers.Options.Limits.
	Limits tree.Limits

	stores opener[*layers.Store]
}

// New returns an engine on the two directories, which it creates. program is engine.Engine.Program.
func New(dirs engine.Dirs, program func() *os.File) (*Engine, error) {
	containers, err := engine.New(dirs)
	if err != nil {
		return nil, err
	}
	e := &Engine{Containers: containers}
	containers.Program = program
	containers.OpenStore = func(ctx context.Context) (engine.Store, error) {
		store, err := e.Store(ctx)
		if err != nil {
			return nil, err
		}
		return containerStore{store}, nil
	}
	return e, nil
}

// Store returns the image store, which it opens at the first call. A store that could not be opened is tried again at
// the next one.
func (e *Engine) Store(ctx context.Context) (*layers.Store, error) {
	return e.stores.get(ctx, func() (*layers.Store, error) {
		dirs := e.Containers.Dirs
		return layers.Open(layers.Options{Root: dirs.Store(), RunRoot: dirs.StoreRun(), Driver: e.StorageDriver,
			Limits: e.Limits, Plain: e.NoXattrs, Mounter: LayerMounter{Program: e.Containers.Program}})
	})
}

// Close releases the image store, if it was opened.
func (e *Engine) Close() error { return e.stores.close() }

// FindStorageDriver returns the driver of the image store in dirs, which wanted is for one that is to be made.
func FindStorageDriver(dirs engine.Dirs, wanted string) (string, error) {
	return driver.Find(dirs.Store(), wanted)
}

// containerStore is the image store as the engine sees it.
type containerStore struct{ *layers.Store }

// CreateContainer makes the layer of a container, given the id of its image.
func (s containerStore) CreateContainer(ctx context.Context, id, name, imageID string, limit layers.Quota) error {
	if imageID == "" {
		return s.Store.CreateLimited(ctx, id, name, nil, limit)
	}
	return s.Store.CreateLimited(ctx, id, name, &layers.Image{ID: imageID}, limit)
}
