package layered

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// Check looks for what is wrong with the store and with the containers.
func (e *Engine) Check(ctx context.Context, opts upkeep.CheckOptions) ([]upkeep.Problem, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	orphans, err := e.orphans(ctx, store)
	if err != nil {
		return nil, err
	}
	problems, err := upkeep.Check(ctx, store, opts)
	if err != nil {
		return nil, err
	}
	damaged, err := e.checkContainers(ctx, store)
	return append(append(problems, damaged...), orphans...), err
}

// Repair looks for what Check does, and removes what is broken or left over. Nothing that a container needs is removed.
func (e *Engine) Repair(ctx context.Context, opts upkeep.CheckOptions) ([]upkeep.Repaired, error) {
	problems, err := e.Check(ctx, opts)
	if err != nil || len(problems) == 0 {
		return nil, err
	}
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	done, err := upkeep.Repair(ctx, store, problems)
	for _, r := range done {
		if r.Kind == upkeep.BrokenImage && r.Fixed {
			e.reportRemovals(append(layers.Untagged(r.ID, r.Names), layers.Removal{Image: r.ID, Deleted: idOf(r.ID)}))
		}
	}
	return done, err
}

// orphans finds layers of containers that are gone. A container's directory is made before its layer and removed
// after it.
func (e *Engine) orphans(ctx context.Context, store *layers.Store) ([]upkeep.Problem, error) {
	ids, err := store.ContainerIDs(ctx)
	if err != nil {
		return nil, err
	}
	var found []upkeep.Problem
	for _, id := range ids {
		if _, err := os.Lstat(e.Containers.Dirs.Container(id)); errors.Is(err, os.ErrNotExist) {
			found = append(found, upkeep.Problem{Kind: upkeep.OrphanLayer, ID: id,
				Text: "the container that it belongs to is gone"})
		}
	}
	return found, nil
}

// checkContainers looks whether all containers can be read and have their layer.
func (e *Engine) checkContainers(ctx context.Context, store *layers.Store) ([]upkeep.Problem, error) {
	list, damaged, err := e.Containers.List(ctx)
	if err != nil {
		return nil, err
	}
	var found []upkeep.Problem
	for _, err := range damaged {
		found = append(found, upkeep.Problem{Kind: upkeep.BrokenContainer, Text: err.Error()})
	}
	for _, c := range list {
		if c.HostConfig.Rootfs != "" && !c.HostConfig.RootfsOverlay {
			continue // it has no layer
		}
		if c.State.Status == engine.Removing || c.State.Status == engine.Dead {
			continue // its layer may be gone; the rest goes with its removal
		}
		_, err := store.ContainerStack(ctx, c.ID)
		if err == nil {
			continue
		}
		if _, gone := e.Containers.Lookup(ctx, c.ID); gone == nil { // otherwise it was removed meanwhile
			found = append(found, upkeep.Problem{Kind: upkeep.BrokenContainer, ID: c.ID, Names: []string{c.Name},
				Text: fmt.Sprint(err)})
		}
	}
	return found, nil
}
