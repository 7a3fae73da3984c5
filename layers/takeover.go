package layers

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/storage"

	"github.com/rcrun/rcrun/internal/rmtree"
)

// takeOver ends the work of processes that were killed. Where that is not possible, because the disk is full, say, it can
// wait: what is unfinished is not listed.
func (s *Store) takeOver() {
	abandoned, _, err := abandonedScratch(s.tempRoot())
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
		_ = rmtree.Remove(dir.Name()) // what remains of it is found again, like all that was abandoned
	}
}

// clean removes what killed or failed work has left: images without their files, containers without their layer, the
// layers given unless something needs them, and files that are not on record.
func (s *Store) clean(layers []string) error {
	files, err := s.presentFiles()
	if err != nil {
		return err
	}
	r, err := s.records()
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
	after, err := s.records()
	if err != nil {
		return err
	}
	unlisted, err := files.unlisted(r, after)
	// Where records were lost, files without a record may be what somebody wants to save.
	if err == nil && len(unlisted) > 0 && len(files.damaged) == 0 {
		// The library does so under its locks, since otherwise what they belong to could be made anew meanwhile.
		err = s.lib.GarbageCollect()
	}
	for _, path := range files.temporary {
		err = errors.Join(err, removeTemporary(path))
	}
	return err
}

// dropHalves removes images that were not made to the end, and containers that were not removed to the end: the layer
// goes before the record.
func (s *Store) dropHalves(r *records) error {
	for _, img := range r.images {
		if !isUnfinished(img) {
			continue
		}
		if _, err := s.lib.DeleteImage(img.ID, true); err != nil && !isMissing(err) {
			return err
		}
	}
	for _, c := range r.containers {
		_, listed := r.layers[c.LayerID]
		if _, err := os.Lstat(s.layerDir(c.LayerID)); listed || !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := s.lib.DeleteContainer(c.ID); err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}

// deleteUnneeded removes a layer, unless something needs it or it is gone.
func (s *Store) deleteUnneeded(id string) error {
	err := s.lib.DeleteLayer(id)
	for _, reason := range []error{storage.ErrLayerHasChildren, storage.ErrLayerUsedByImage, storage.ErrLayerUsedByContainer} {
		if errors.Is(err, reason) {
			return nil
		}
	}
	if isMissing(err) {
		return nil
	}
	return err
}
