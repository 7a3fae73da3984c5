package engine

import (
	"os"
	"sync"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Store is what the life of a container takes of the image store.
type Store interface {
	// Driver is how the store keeps layers, one of those in package layerfmt.
	Driver() string
	// CreateContainer makes the read-write layer of a container upon an image, or upon nothing where imageID is "". A limit
	// takes the driver fuse.
	CreateContainer(id, name, imageID string, limit layerfmt.Quota) error
	// RemoveContainer removes that layer, if there is one.
	RemoveContainer(id string) error
	// ContainerStack returns the directories that make up a container's root filesystem.
	ContainerStack(id string) (layerfmt.Stack, error)
	// ContainerSize is how many bytes a container has added to its image.
	ContainerSize(id string) (int64, error)
	Close() error
}

// Engine is the entry to everything that a command does with containers.
type Engine struct {
	Dirs Dirs
	// OpenStore opens the image store. It is called only when something needs it: ps, logs, exec and stop do not.
	OpenStore func() (Store, error)
	// Program returns the program that stages are executed from; nil for this process's own. May be nil, too.
	Program func() *os.File

	opening  sync.Once
	opened   Store
	storeErr error
}

// New returns an engine on the two directories, which it creates.
func New(dirs Dirs) (*Engine, error) {
	if err := dirs.make(); err != nil {
		return nil, err
	}
	return &Engine{Dirs: dirs}, nil
}

// store returns the image store, opening it at the first call.
func (e *Engine) store() (Store, error) {
	e.opening.Do(func() { e.opened, e.storeErr = e.OpenStore() })
	return e.opened, e.storeErr
}

// Close releases the image store, if it was opened.
func (e *Engine) Close() error {
	if e.opened == nil {
		return nil
	}
	return e.opened.Close()
}

// Runs tells whether the container with the full id runs.
func (e *Engine) Runs(id string) bool {
	c, err := e.Dirs.load(id)
	return err == nil && c.State.Status == Running
}
