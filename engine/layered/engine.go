package layered

import (
	"os"
	"sync"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/tree"
)

// Engine is the entry to everything that a command does with containers and images.
type Engine struct {
	*engine.Engine
	// StorageDriver is the driver of an image store that is to be made; a store that is there has its own.
	StorageDriver string
	// NoXattrs has an image store that is to be made do without xattrs, also where its filesystem keeps them.
	NoXattrs bool
	// Limits is layers.Options.Limits.
	Limits tree.Limits

	opening  sync.Once
	store    *layers.Store
	storeErr error
}

// New returns an engine on the two directories, which it creates. program is engine.Engine.Program.
func New(dirs engine.Dirs, program func() *os.File) (*Engine, error) {
	containers, err := engine.New(dirs)
	if err != nil {
		return nil, err
	}
	e := &Engine{Engine: containers}
	containers.Program = program
	containers.OpenStore = func() (engine.Store, error) {
		store, err := e.Store()
		if err != nil {
			return nil, err
		}
		return containerStore{store}, nil
	}
	return e, nil
}

// Store returns the image store, opening it at the first call.
func (e *Engine) Store() (*layers.Store, error) {
	e.opening.Do(func() {
		e.store, e.storeErr = layers.Open(layers.Options{Root: e.Dirs.Store(), RunRoot: e.Dirs.StoreRun(), Driver: e.StorageDriver,
			Limits: e.Limits, Plain: e.NoXattrs, Mounter: LayerMounter{Program: e.Program}})
	})
	return e.store, e.storeErr
}

// Close releases the image store, if it was opened.
func (e *Engine) Close() error {
	if e.store == nil {
		return nil
	}
	return e.store.Close()
}

// FindStorageDriver returns the driver of the image store in dirs, which wanted is for one that is to be made.
func FindStorageDriver(dirs engine.Dirs, wanted string) (string, error) {
	return layers.FindDriver(dirs.Store(), wanted)
}

// containerStore is the image store as the engine sees it.
type containerStore struct{ *layers.Store }

// CreateContainer makes the layer of a container, given the id of its image.
func (s containerStore) CreateContainer(id, name, imageID string, limit layers.Quota) error {
	if imageID == "" {
		return s.Store.CreateLimited(id, name, nil, limit)
	}
	return s.Store.CreateLimited(id, name, &layers.Image{ID: imageID}, limit)
}
