package layered

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// PruneFilter limits what is pruned, of images and of containers. The zero value takes everything.
type PruneFilter struct {
	Until     time.Time // was created before this time
	Labels    []string  // has each of these: key, or key=value
	NotLabels []string  // has none of these
	Dangling  *bool     // an image that has no name, or has one
}

// Pruned is what a pruning has removed.
type Pruned struct {
	Containers []string         // ids
	Images     []layers.Removal // and names of them
	Cache      []layers.Removal // what pulls and loads that were cut off have left
	Space      int64            // that is free now, in bytes
}

func (f *PruneFilter) images() layers.ImageFilter {
	return layers.ImageFilter{Until: f.Until, Labels: f.Labels, NotLabels: f.NotLabels, Dangling: f.Dangling}
}

func (f *PruneFilter) takes(c *engine.Container) bool {
	lacks := func(label string) bool { return !c.HasLabel(label) }
	return (f.Until.IsZero() || c.Created.Before(f.Until)) &&
		!slices.ContainsFunc(f.Labels, lacks) && !slices.ContainsFunc(f.NotLabels, c.HasLabel)
}

// PruneContainers removes the containers that do not run. With an error, the result is what was removed nevertheless.
func (e *Engine) PruneContainers(ctx context.Context, f PruneFilter) (p Pruned, err error) {
	if f.Dangling != nil {
		return p, fault.Errorf(errdefs.ErrInvalidArgument, "the filter dangling is about images")
	}
	return e.pruneContainers(ctx, f)
}

func (e *Engine) pruneContainers(ctx context.Context, f PruneFilter) (p Pruned, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	p.Containers, p.Space, err = e.Containers.Prune(ctx, f.takes)
	return p, err
}

// PruneImages removes images that no container needs: with all every one, without only those that have no name. With
// an error, the result is what was removed nevertheless.
func (e *Engine) PruneImages(ctx context.Context, f PruneFilter, all bool) (p Pruned, err error) {
	store, err := e.Store(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return p, err
	}
	pruned, err := upkeep.Prune(ctx, store, upkeep.PruneOptions{All: all, Filter: f.images()})
	e.reportRemovals(pruned.Removals)
	e.reportPruned(api.ImageEventType, pruned.Space)
	return Pruned{Images: pruned.Removals, Space: pruned.Space}, err
}

// PruneAll prunes containers first, because the images of containers are needed, then images, then what pulls and
// loads that were cut off have left. An error of one of these does not keep the next from its turn.
func (e *Engine) PruneAll(ctx context.Context, f PruneFilter, allImages bool) (p Pruned, err error) {
	store, err := e.Store(ctx)
	if err != nil {
		return p, err
	}
	p, containerErr := e.pruneContainers(ctx, f)
	images, imageErr := e.PruneImages(ctx, f, allImages)
	p.Images, p.Space = images.Images, p.Space+images.Space
	if err := ctx.Err(); err != nil {
		return p, errors.Join(containerErr, imageErr, err)
	}
	kept, keptErr := upkeep.PruneKept(ctx, store)
	e.reportPruned(api.BuilderEventType, kept.Space)
	p.Cache, p.Space = kept.Removals, p.Space+kept.Space
	return p, errors.Join(containerErr, imageErr, keptErr)
}
