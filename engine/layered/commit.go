package layered

import (
	"context"
	"errors"
	"io"
	"strings"

	api "github.com/moby/moby/api/types/events"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/progress"
	layertree "github.com/rcrun/rcrun/layers/tree"
)

// CommitOptions is how to make an image of a container.
type CommitOptions struct {
	Name            string   // of the image; empty for none
	Author, Message string   // for its history
	Changes         []string // instructions as in a Dockerfile
	Squash          bool     // make one layer of all
	Pause           bool     // hold up the container's writes meanwhile

	Progress progress.Func // is told how much is done; nil is quiet
}

// Commit makes an image of the container as it is, without its volumes, and returns the image's id.
//
// With Pause the filesystem server holds up all that would change something for as long as it takes: what comes out is
// one state of the filesystem. The processes run on; only those that write wait.
func (e *Engine) Commit(ctx context.Context, c *engine.Container, options CommitOptions) (id string, err error) {
	err = e.withLayers(ctx, c, options.Pause, func(store *layers.Store) error {
		id, err = archive.Commit(ctx, store, c.ID, archive.CommitOptions{
			Image:  c.ImageID,
			Config: imageConfig(&c.Config), StopTimeout: c.Config.StopTimeout,
			Between: []string{c.InitLayer()},
			Name:    options.Name, Changes: options.Changes, Squash: options.Squash,
			CreatedBy: strings.Join(c.Config.Cmd, " "), Message: options.Message, Author: options.Author,
			Progress: options.Progress,
		})
		if err == nil {
			e.reportCommit(ctx, store, c, id, options)
		}
		return err
	})
	return id, err
}

// reportCommit writes that an image was made of a container.
func (e *Engine) reportCommit(ctx context.Context, store *layers.Store, c *engine.Container, id string,
	options CommitOptions) {
	e.reportMade(ctx, store, api.ActionCreate, id, options.Name)
	name := ""
	if options.Name != "" {
		name = withTag(options.Name)
	}
	e.Containers.Report(c, api.ActionCommit, map[string]string{
		"comment": options.Message, "imageID": idOf(id), "imageRef": name})
}

// Export writes the container's whole filesystem as one tar, without what is mounted in it. It holds up writes as
// Commit does.
func (e *Engine) Export(ctx context.Context, c *engine.Container, w io.Writer, pause bool) error {
	return e.withLayers(ctx, c, pause, func(store *layers.Store) error {
		err := archive.Export(ctx, store, w, c.ID, []string{c.InitLayer()})
		if err == nil {
			e.Containers.Report(c, api.ActionExport, nil)
		}
		return err
	})
}

// Changes lists what the container has changed in its image.
func (e *Engine) Changes(ctx context.Context, c *engine.Container) (changes []layertree.Change, err error) {
	err = e.withLayers(ctx, c, true, func(store *layers.Store) error {
		changes, err = store.ContainerChanges(ctx, c.ID, []string{c.InitLayer()})
		return err
	})
	return changes, err
}

// withLayers runs work on the layers of a container while nothing changes them.
func (e *Engine) withLayers(ctx context.Context, c *engine.Container, pause bool,
	work func(store *layers.Store) error) error {
	if err := c.RequireLayers(); err != nil {
		return err
	}
	store, err := e.Store(ctx)
	if err != nil {
		return err
	}
	// Only a filesystem server of ours can hold up writes.
	release, err := c.Hold(ctx, pause && store.Driver() == driver.Fuse)
	if err != nil {
		return err
	}
	return errors.Join(work(store), release())
}

// imageConfig is what of a configuration belongs to an image: all but what is about one container, such as its name on
// the network and whether it has a terminal.
func imageConfig(c *engine.Config) v1.ImageConfig {
	ports := map[string]struct{}{}
	for port := range c.ExposedPorts {
		ports[port.String()] = struct{}{}
	}
	return v1.ImageConfig{
		User: c.User, ExposedPorts: ports, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Volumes: c.Volumes,
		WorkingDir: c.WorkingDir, Labels: c.Labels, StopSignal: c.StopSignal,
	}
}
