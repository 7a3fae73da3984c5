package layers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/lockfile"

	"github.com/rcrun/rcrun/internal/rmtree"
)

// Whatever changes the store has a scratch directory of its own meanwhile. One that nobody holds any more tells whoever
// opens the store next that a process was killed over its work, which may have left files that are not on record. Only
// then is the store searched for such files, so that opening it costs no more for being safe.

// removalName is the file in a scratch directory which lists the layers that go with an image.
const removalName = "removal"

// begin starts work on the store.
func (s *Store) begin() (*scratch, error) { return newScratch(s.tempRoot()) }

// finish ends work on the store, and removes what it has left unfinished. If that cannot be done now, because the disk
// is full, say, whoever opens the store next does it.
func (s *Store) finish(place *scratch) error {
	clean := func() error { return errors.Join(s.forget(), s.clean(nil)) }
	if s.withReserve(clean) == nil {
		return place.Close()
	}
	return place.abandon()
}

// forget has the library read the records from disk before it next uses them. After a write that failed it goes on with
// what it failed to write.
func (s *Store) forget() error {
	for _, kind := range []string{layerRecords, imageRecords, containerRecords} {
		lock, err := lockfile.GetLockFile(filepath.Join(s.recordDir(kind), kind+".lock"))
		if err == nil {
			lock.Lock()
			_, err = lock.RecordWrite()
			lock.Unlock()
		}
		if err != nil {
			return fmt.Errorf("have the records of %s read again: %w", kind, err)
		}
	}
	return nil
}

// change does something quick to the records.
func (s *Store) change(do func() error) error {
	place, err := s.begin()
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return errors.Join(err, s.finish(place))
	}
	return place.Close()
}

// free is change for what removes a container, given its full id.
func (s *Store) free(id string, do func() error) error {
	return s.withReserve(func() error {
		return s.change(func() error { return errors.Join(s.removeTrees(id), do()) })
	})
}

// deleteImage removes an image with all its names, and the layers that nothing else needs, whose ids it returns. Should
// the process be killed after the first of it, the rest of the layers goes when the store is next opened.
func (s *Store) deleteImage(id string) (removed []string, err error) {
	err = s.withReserve(func() error {
		place, err := s.begin()
		if err != nil {
			return err
		}
		if err := s.noteRemoval(place, id); err != nil {
			return errors.Join(err, place.Close())
		}
		removed, err = s.lib.DeleteImage(id, true)
		return errors.Join(err, s.finish(place))
	})
	return removed, err
}

func (s *Store) noteRemoval(place *scratch, imageID string) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	var ids []string
	for _, img := range r.images {
		if img.ID != imageID {
			continue
		}
		for id := img.TopLayer; id != "" && len(ids) < maxLayers; id = r.layers[id].Parent {
			ids = append(ids, id)
		}
	}
	return os.WriteFile(filepath.Join(place.Path, removalName), []byte(strings.Join(ids, "\n")), 0o600)
}

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
