package engine

import (
	"sync"

	"github.com/rcrun/rcrun/layers"
)

// Engine is the entry to everything that a command does. It opens the image store only when something needs it:
// ps, logs, exec and stop do not.
type Engine struct {
	Dirs Dirs
	// StorageDriver is the driver of an image store that is to be made; a store that is there has its own.
	StorageDriver string
	// NoXattrs has an image store that is to be made do without xattrs, also where its filesystem keeps them.
	NoXattrs bool
	// MaxLayerSize is layers.Options.MaxLayerSize.
	MaxLayerSize int64

	openStore sync.Once
	store     *layers.Store
	storeErr  error
}

// New returns an engine on the two directories, which it creates.
func New(dirs Dirs) (*Engine, error) {
	if err := dirs.make(); err != nil {
		return nil, err
	}
	return &Engine{Dirs: dirs}, nil
}

// Store returns the image store, opening it at the first call.
func (e *Engine) Store() (*layers.Store, error) {
	e.openStore.Do(func() { e.store, e.storeErr = e.openImages() })
	return e.store, e.storeErr
}

// Close releases the image store, if it was opened.
func (e *Engine) Close() error {
	if e.store == nil {
		return nil
	}
	return e.store.Close()
}

func (e *Engine) openImages() (*layers.Store, error) {
	return layers.Open(layers.Options{Root: e.Dirs.store(), RunRoot: e.Dirs.storeRun(), Driver: e.StorageDriver,
		MaxLayerSize: e.MaxLayerSize, Plain: e.NoXattrs, Mounter: LayerMounter{}})
}

// FindStorageDriver returns the driver of the image store in dirs, which wanted is for one that is to be made.
func FindStorageDriver(dirs Dirs, wanted string) (string, error) {
	return layers.FindDriver(dirs.store(), wanted)
}
