package upkeep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// Repaired is what became of a Problem.
type Repaired struct {
	Problem
	// Fixed tells whether it is a problem no more.
	Fixed bool
	// Action says what was done, or why nothing was. "" where that is the user's choice, which Remedy tells.
	Action string
	// Remedy is what the user may do besides.
	Remedy Remedy
}

// Remedy is what a user may do about a problem that Repair cannot mend wholly.
type Remedy int

// The remedies. PullAgain is about the images that Problem.Names names.
const (
	NoRemedy Remedy = iota
	RemoveContainer
	PullAgain
)

// Repair removes what a check has found: leftovers, and images and layers that cannot be used, but nothing that a
// container needs, and nothing that is good. It looks again whether a problem is still there as far as that matters.
func Repair(ctx context.Context, s *layers.Store, problems []Problem) ([]Repaired, error) {
	r, err := s.Core().Records(ctx)
	if err != nil {
		return nil, fmt.Errorf("repair the store %s: %w", s.Core().Root, err)
	}
	var done []Repaired
	// Images before their layers, which they hold.
	for _, kind := range []ProblemKind{BrokenContainer, OrphanLayer, BrokenImage, BrokenLayer, BrokenIndex, LostRecords,
		Leftover} {
		for _, p := range problems {
			if ctx.Err() != nil {
				return done, context.Cause(ctx)
			}
			if p.Kind == kind {
				done = append(done, repairOne(ctx, s, p, r))
			}
		}
	}
	if !hasUnlistedWork(s, r) {
		err = s.Core().Lib.GarbageCollect()
	}
	if err != nil {
		return done, fmt.Errorf("repair the store %s: %w", s.Core().Root, err)
	}
	for i := range done {
		if done[i].Kind == Leftover && !done[i].Fixed {
			_, err := os.Lstat(done[i].ID)
			if done[i].Fixed = errors.Is(err, os.ErrNotExist); done[i].Fixed {
				done[i].Action = "removed"
			}
		}
	}
	return done, nil
}

// hasUnlistedWork tells whether a container has written something that is still there, while the record of its layer is
// lost. The library would take that for garbage.
func hasUnlistedWork(s *layers.Store, r *core.Records) bool {
	return slices.ContainsFunc(r.Containers, func(c storage.Container) bool {
		_, listed := r.Layers[c.LayerID]
		_, err := os.Lstat(s.Core().LayerDir(c.LayerID))
		return !listed && err == nil
	})
}

func repairOne(ctx context.Context, s *layers.Store, p Problem, r *core.Records) Repaired {
	done := Repaired{Problem: p}
	switch p.Kind {
	case BrokenContainer:
		done.Remedy = RemoveContainer
	case OrphanLayer:
		err := s.RemoveContainer(ctx, p.ID)
		done.Fixed, done.Action = err == nil, outcome(err)
	case BrokenImage:
		if done.Fixed, done.Action = repairImage(ctx, s, p, r); done.Fixed && len(p.Names) > 0 {
			done.Remedy = PullAgain
		}
	case BrokenLayer:
		done.Fixed, done.Action = repairLayer(ctx, s, p, r)
	case BrokenIndex:
		err := repairIndex(s, p.ID)
		done.Fixed, done.Action = err == nil || errors.Is(err, os.ErrNotExist), "written anew"
		if !done.Fixed {
			done.Action = err.Error()
		}
	case LostRecords:
		err := os.Remove(p.ID)
		done.Fixed, done.Action = err == nil, outcome(err)
	case Leftover:
		done.Fixed, done.Action = repairLeftover(ctx, s, p, r)
	}
	return done
}

// outcome says how a removal went.
func outcome(err error) string {
	if err != nil {
		return err.Error()
	}
	return "removed"
}

func repairImage(ctx context.Context, s *layers.Store, p Problem, r *core.Records) (fixed bool, action string) {
	for _, c := range r.Containers {
		if c.ImageID == p.ID {
			return false, fmt.Sprintf("container %s uses it: remove that first", c.ID)
		}
	}
	// The layers that are missing are no reason not to remove the others.
	if _, err := s.Core().DeleteImage(ctx, p.ID); err != nil && !core.IsMissing(err) {
		return false, err.Error()
	}
	return true, "removed"
}

// repairLayer removes a layer with all that are built on it, unless an image or container has one of them.
func repairLayer(ctx context.Context, s *layers.Store, p Problem, r *core.Records) (fixed bool, action string) {
	now, err := s.Core().Records(ctx)
	if err != nil {
		return false, err.Error()
	}
	for _, c := range now.Containers {
		if isBelow(now, p.ID, c.LayerID) {
			return false, fmt.Sprintf("container %s uses it: remove that first", c.ID)
		}
	}
	for _, img := range now.Images {
		if isBelow(now, p.ID, img.TopLayer) {
			return false, fmt.Sprintf("image %s uses it: remove that first", img.ID)
		}
	}
	for _, layer := range now.Abandoned(time.Now()) {
		if !isBelow(now, p.ID, layer.ID) {
			continue
		}
		if err := s.Core().Lib.DeleteLayer(layer.ID); err != nil && !core.IsMissing(err) {
			return false, err.Error()
		}
	}
	return true, "removed"
}

// isBelow tells whether the layer id is the layer top or one of those below it.
func isBelow(r *core.Records, id, top string) bool {
	for n := 0; top != "" && n < driver.MaxLayers; n++ {
		if top == id {
			return true
		}
		top = r.Layers[top].Parent
	}
	return false
}

// repairLeftover removes what is no file of a layer, image or container; the others go in one sweep afterwards.
func repairLeftover(ctx context.Context, s *layers.Store, p Problem, r *core.Records) (fixed bool, action string) {
	name, dir := filepath.Base(p.ID), filepath.Dir(p.ID)
	switch {
	case strings.HasPrefix(name, core.TemporaryPrefix):
		err := core.RemoveTemporary(p.ID)
		return err == nil, outcome(err)
	case slices.Contains(s.Core().ScratchRoots(), dir):
		err := scratch.Sweep(dir)
		return err == nil, outcome(err)
	}
	if layer, ok := r.Layers[name]; ok {
		return repairLayer(ctx, s, Problem{ID: layer.ID}, r)
	}
	return false, ""
}
