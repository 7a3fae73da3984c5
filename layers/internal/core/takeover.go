package core

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/storage"

	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// TakeOver cleans up after processes that were killed over their work. If that fails, because the disk is full for
// instance, a later call does it: nothing lists what is unfinished.
func (s *Store) TakeOver() {
	abandoned, _, err := scratch.Abandoned(s.TempRoot())
	var layers []string
	for _, dir := range abandoned {
		defer dir.Close()
		if list, err := os.ReadFile(filepath.Join(dir.Name(), removalName)); err == nil {
			layers = append(layers, strings.Fields(string(list))...)
		}
	}
	if err != nil || len(abandoned) == 0 || s.withReserve(func() error { return s.clean(layers) }) != nil {
		return
	}
	for _, dir := range abandoned {
		_ = rmtree.Remove(dir.Name()) // a later call finds what remains of it
	}
}

// clean removes what killed or failed work has left: images without their files, containers without their layer, the
// given layers unless something needs them, and files that are not on record.
func (s *Store) clean(layers []string) error {
	files, err := s.PresentFiles()
	if err != nil {
		return err
	}
	r, err := s.Records(context.Background()) // cleaning up must not be cut short
	if err != nil {
		return err
	}
	if err := s.dropHalves(r); err != nil {
		return err
	}
	for _, id := range layers {
		if err := s.deleteUnneeded(id); err != nil {
			return err
		}
	}
	after, err := s.Records(context.Background())
	if err != nil {
		return err
	}
	unlisted, err := files.Unlisted(r, after)
	// If records were lost, a user may want to save the files without a record.
	if err == nil && len(unlisted) > 0 && len(files.Damaged) == 0 {
		// The library collects garbage under its locks. Without them another process could be making what the files
		// belong to.
		err = s.Lib.GarbageCollect()
	}
	for _, path := range files.Temporary {
		err = errors.Join(err, RemoveTemporary(path))
	}
	return err
}

// dropHalves removes images that were not made to the end, and containers that were not removed to the end: a
// container's layer is removed before its record.
func (s *Store) dropHalves(r *Records) error {
	for _, img := range r.Images {
		if !IsUnfinished(img) {
			continue
		}
		if _, err := s.Lib.DeleteImage(img.ID, true); err != nil && !IsMissing(err) {
			return err
		}
	}
	for _, c := range r.Containers {
		_, listed := r.Layers[c.LayerID]
		if _, err := os.Lstat(s.LayerDir(c.LayerID)); listed || !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := s.Lib.DeleteContainer(c.ID); err != nil && !IsMissing(err) {
			return err
		}
	}
	return nil
}

// deleteUnneeded removes a layer, unless something needs the layer or it is gone.
func (s *Store) deleteUnneeded(id string) error {
	err := s.Lib.DeleteLayer(id)
	for _, reason := range []error{storage.ErrLayerHasChildren, storage.ErrLayerUsedByImage,
		storage.ErrLayerUsedByContainer} {
		if errors.Is(err, reason) {
			return nil
		}
	}
	if IsMissing(err) {
		return nil
	}
	return err
}
