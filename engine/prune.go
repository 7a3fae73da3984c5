package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	api "github.com/moby/moby/api/types/events"
)

// Prune removes the containers that do not run and that want takes, and returns their ids and the bytes that they had
// written. One that is just being started or removed is left alone.
func (e *Engine) Prune(ctx context.Context, want func(*Container) bool) (removed []string, space int64, err error) {
	store, err := e.OpenStore(ctx)
	if err != nil {
		return nil, 0, err
	}
	list, damaged, err := e.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	failed := errors.Join(damaged...)
	for _, c := range list {
		if ctx.Err() != nil {
			return removed, space, errors.Join(failed, context.Cause(ctx))
		}
		if c.State.Status.Up() || c.State.Status == Removing || !want(c) {
			continue
		}
		size, sizeErr := store.ContainerSize(ctx, c.ID)
		switch err := e.pruneOne(ctx, c); {
		case errors.Is(err, errLocked):
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("remove container %s: %w", c.Name, err))
		default:
			removed = append(removed, c.ID)
			if sizeErr == nil { // one without a layer has written nothing
				space += size
			}
		}
	}
	e.events.Record(api.ContainerEventType, api.ActionPrune, api.Actor{
		Attributes: map[string]string{"reclaimed": strconv.FormatInt(space, 10)}})
	return removed, space, failed
}

// pruneOne removes a container whose lock is free.
func (e *Engine) pruneOne(ctx context.Context, c *Container) error {
	held, err := c.tryLock()
	if err != nil {
		return err
	}
	defer held.release()
	if err := c.settle(e.events); err != nil {
		return err
	}
	if err := c.removeRunDirs(); err != nil {
		return err
	}
	return e.destroy(ctx, c.ID)
}

// HasLabel tells whether the container has a label: key, or key=value.
func (c *Container) HasLabel(label string) bool {
	key, want, hasValue := strings.Cut(label, "=")
	value, there := c.Config.Labels[key]
	return there && (!hasValue || value == want)
}
