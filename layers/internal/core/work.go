package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/storage/pkg/lockfile"

	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// A process that changes the store holds a locked scratch directory meanwhile. If such a directory is not locked, its
// process was killed, and may have left files that are not on record. Only then does the process that opens the store
// next search for such files; so a usual opening costs no more.

// removalName is the file in a scratch directory that lists the layers of an image which is being removed.
const removalName = "removal"

// Begin starts work on the store, unless ctx has ended. Work that has begun is finished: if a change stopped in the
// middle, the next process would have to clean up.
func (s *Store) Begin(ctx context.Context) (*scratch.Dir, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return scratch.New(s.TempRoot())
}

// Finish ends work on the store, and removes what the work has left unfinished. If that fails, because the disk is full
// for instance, the process that opens the store next does it.
func (s *Store) Finish(place *scratch.Dir) error {
	clean := func() error { return errors.Join(s.Forget(), s.clean(nil)) }
	if s.withReserve(clean) == nil {
		return place.Close()
	}
	return place.Abandon(removalName)
}

// Forget has the library read the records from disk before it next uses them. After a failed write the library would go
// on with the records that it failed to write.
func (s *Store) Forget() error {
	for _, kind := range []string{LayerRecords, ImageRecords, containerRecords} {
		lock, err := lockfile.GetLockFile(filepath.Join(s.RecordDir(kind), kind+".lock"))
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

// Change does something quick to the records.
func (s *Store) Change(ctx context.Context, do func() error) error {
	place, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return errors.Join(err, s.Finish(place))
	}
	return place.Close()
}

// Free is Change for work that removes a container, given the container's full id.
func (s *Store) Free(ctx context.Context, id string, do func() error) error {
	return s.withReserve(func() error {
		return s.Change(ctx, func() error { return errors.Join(s.removeTrees(id), do()) })
	})
}

// DeleteImage removes an image with all its names, and the layers that nothing else needs, and returns the ids of these
// layers. If the process is killed in the middle, the next opening of the store removes the remaining layers.
func (s *Store) DeleteImage(ctx context.Context, id string) (removed []string, err error) {
	err = s.withReserve(func() error {
		place, err := s.Begin(ctx)
		if err != nil {
			return err
		}
		if err := s.noteRemoval(ctx, place, id); err != nil {
			return errors.Join(err, place.Close())
		}
		removed, err = s.Lib.DeleteImage(id, true)
		return errors.Join(err, s.Finish(place))
	})
	return removed, err
}

func (s *Store) noteRemoval(ctx context.Context, place *scratch.Dir, imageID string) error {
	r, err := s.Records(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, img := range r.Images {
		if img.ID != imageID {
			continue
		}
		for id := img.TopLayer; id != "" && len(ids) < driver.MaxLayers; id = r.Layers[id].Parent {
			ids = append(ids, id)
		}
	}
	return os.WriteFile(filepath.Join(place.Path, removalName), []byte(strings.Join(ids, "\n")), 0o600)
}

// removeTrees removes what a container has written, with one of the library's drivers, so that the library has no deep
// tree to remove. If the process is killed after that, a repeated removal of the container finishes it.
func (s *Store) removeTrees(id string) error {
	switch s.DriverName {
	case driver.VFS:
		return rmtree.Remove(s.VFS().Tree(id))
	case driver.Overlay:
		return errors.Join(rmtree.Remove(filepath.Join(s.LayerDir(id), driver.DiffDir)),
			rmtree.Remove(filepath.Join(s.LayerDir(id), driver.WorkDir)))
	}
	return nil
}
