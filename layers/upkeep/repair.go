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

// Repaired is a Problem and what became of it.
type Repaired struct {
	Problem
	// Fixed tells whether the problem is gone.
	Fixed bool
	// Action says what was done, or why nothing was. It is "" where the user must choose, which Remedy tells.
	Action string
	// Remedy is what else the user may do.
	Remedy Remedy
}

// Remedy is what a user may do about a problem that Repair cannot solve completely.
type Remedy int

// The remedies. PullAgain is about the images in Problem.Names.
const (
	NoRemedy Remedy = iota
	RemoveContainer
	PullAgain
)

// Repair removes what a check has found: leftovers, and images and layers that cannot be used. It removes nothing that
// a container needs and nothing that is good. Where it matters, it checks again whether a problem is still there.
func Repair(ctx context.Context, s *layers.Store, problems []Problem) ([]Repaired, error) {
	r, err := s.Core().Records(ctx)
	if err != nil {
		return nil, fmt.Errorf("repair the store %s: %w", s.Core().Root, err)
	}
	var done []Repaired
	// Images come before their layers, because an image holds its layers.
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

// hasUnlistedWork tells whether what a container has written is there while the record of its layer is lost. The
// library would remove it as garbage.
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
		done.Fixed, done.Action = err == nil || errors.Is(err, os.ErrNotExist), "written again"
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

// outcome tells the result of a removal.
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
	// If some layers are missing, the others can be removed nevertheless.
	if _, err := s.Core().DeleteImage(ctx, p.ID); err != nil && !core.IsMissing(err) {
		return false, err.Error()
	}
	return true, "removed"
}

// repairLayer removes a layer with all layers upon it, unless an image or container has one of them.
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

// isBelow tells whether the layer id is the layer top or below it.
func isBelow(r *core.Records, id, top string) bool {
	for n := 0; top != "" && n < driver.MaxLayers; n++ {
		if top == id {
			return true
		}
		top = r.Layers[top].Parent
	}
	return false
}

// repairLeftover removes a leftover that is not a file of a layer, image or container. The library removes those
// together afterwards.
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
