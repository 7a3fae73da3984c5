package layered

import (
	"context"
	"io"

	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/registry"
)

// What is done with images. Each call is that of the image store or of a package beside it, and writes the events of
// what it has done.

// Tag gives an image further names, as layers.Store.Tag does.
func (e *Engine) Tag(ctx context.Context, ref string, names ...string) error {
	store, err := e.Store(ctx)
	if err != nil {
		return err
	}
	image, err := store.Image(ctx, ref)
	if err != nil {
		return err
	}
	if err := store.Tag(ctx, ref, names...); err != nil {
		return err
	}
	e.reportNames(image, names...)
	return nil
}

// Untag takes names from an image, as layers.Store.Untag does.
func (e *Engine) Untag(ctx context.Context, ref string, names ...string) ([]layers.Removal, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	removed, err := store.Untag(ctx, ref, names...)
	e.reportRemovals(removed)
	return removed, err
}

// RemoveImage removes an image, or one of its names, as layers.Store.RemoveImage does.
func (e *Engine) RemoveImage(ctx context.Context, ref string, force bool) ([]layers.Removal, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	removed, err := store.RemoveImage(ctx, ref, layers.RemoveOptions{Force: force, Runs: e.Containers.Runs})
	e.reportRemovals(removed)
	return removed, err
}

// Pull copies an image from a registry into the store, as registry.Pull does.
func (e *Engine) Pull(ctx context.Context, ref string, options registry.PullOptions) (registry.Pulled, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return registry.Pulled{}, err
	}
	pulled, err := registry.Pull(ctx, store, ref, options)
	if err == nil {
		e.reportTransfer(api.ActionPull, pulled.FamiliarName, &pulled.Image)
	}
	return pulled, err
}

// Push copies an image to a registry, as registry.Push does.
func (e *Engine) Push(ctx context.Context, ref string, options registry.PushOptions) (registry.Pushed, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return registry.Pushed{}, err
	}
	pushed, err := registry.Push(ctx, store, ref, options)
	if err == nil {
		// one that has been removed since has no labels to tell of
		image, _ := store.Image(context.WithoutCancel(ctx), ref)
		e.reportTransfer(api.ActionPush, imagename.Familiar(pushed.Name), image)
	}
	return pushed, err
}

// Import makes an image with one layer of a tar, as archive.Import does.
func (e *Engine) Import(ctx context.Context, r io.Reader, options archive.ImportOptions) (id string, err error) {
	store, err := e.Store(ctx)
	if err != nil {
		return "", err
	}
	if id, err = archive.Import(ctx, store, r, options); err == nil {
		e.reportMade(ctx, store, api.ActionImport, id, options.Name)
	}
	return id, err
}

// reportMade writes that an image was made and has got a name, "" if it has none. One that has been removed since has
// events of that.
func (e *Engine) reportMade(ctx context.Context, store *layers.Store, action api.Action, id, name string) {
	image, err := store.Image(context.WithoutCancel(ctx), id)
	if err != nil {
		image = &layers.Image{ID: id}
	}
	e.reportImage(action, image)
	if name != "" {
		e.reportNames(image, name)
	}
}

// Load brings in the images of an archive, as archive.Load does.
func (e *Engine) Load(ctx context.Context, path string, r io.Reader, options archive.LoadOptions) ([]string, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	loaded, err := archive.Load(ctx, store, path, r, options)
	known := map[string]bool{}
	for _, name := range loaded {
		if image, err := store.Image(context.WithoutCancel(ctx), name); err == nil && !known[image.ID] {
			known[image.ID] = true
			e.reportImage(api.ActionLoad, image)
		}
	}
	return loaded, err
}

// Save writes images to one archive, as archive.Save does.
func (e *Engine) Save(ctx context.Context, w io.Writer, refs []string, options archive.SaveOptions) error {
	store, err := e.Store(ctx)
	if err != nil {
		return err
	}
	options.Saved = func(image *layers.Image) { e.reportImage(api.ActionSave, image) }
	return archive.Save(ctx, store, w, refs, options)
}
