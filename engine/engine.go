package engine

import (
	"context"
	"os"

	"github.com/rcrun/rcrun/engine/events"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Store is what the life of a container takes of the image store.
type Store interface {
	// Driver is how the store keeps layers, one of those in package layerfmt.
	Driver() string
	// CreateContainer makes the read-write layer of a container upon an image, or upon nothing where imageID is "". A
	// limit takes the driver fuse.
	CreateContainer(ctx context.Context, id, name, imageID string, limit layerfmt.Quota) error
	// RemoveContainer removes that layer, if there is one.
	RemoveContainer(ctx context.Context, id string) error
	// ContainerStack returns the directories that make up a container's root filesystem.
	ContainerStack(ctx context.Context, id string) (layerfmt.Stack, error)
	// ContainerSize is how many bytes a container has added to its image.
	ContainerSize(ctx context.Context, id string) (int64, error)
}

// Engine is the entry to everything that can be done with containers. Any number of goroutines may use it at once; its
// fields are set before that. A Container is a record that was read for one caller, who uses it in one goroutine.
type Engine struct {
	Dirs Dirs
	// OpenStore returns the image store, which its owner keeps open. It is called whenever something needs the store,
	// and only then: listing, logs, exec and stop do not.
	OpenStore func(ctx context.Context) (Store, error)
	// Program returns the program that stages are executed from; nil for this process's own. May be nil, too.
	Program func() *os.File

	events *events.Journal
}

// New returns an engine on the two directories, which it creates.
func New(dirs Dirs) (*Engine, error) {
	if err := dirs.make(); err != nil {
		return nil, err
	}
	return &Engine{Dirs: dirs, events: events.New(dirs.Events())}, nil
}

// Events is the journal of what is done with the user's containers and images.
func (e *Engine) Events() *events.Journal { return e.events }

// Runs tells whether the container with the full id runs.
func (e *Engine) Runs(id string) bool {
	c, err := e.Dirs.load(id)
	return err == nil && c.State.Status.Up()
}
