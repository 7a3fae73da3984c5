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

// Whatever changes the store has a scratch directory of its own meanwhile. One that nobody holds any more tells whoever
// opens the store next that a process was killed over its work, which may have left files that are not on record. Only
// then is the store searched for such files, so that opening it costs no more for being safe.

// removalName is the file in a scratch directory which lists the layers that go with an image.
const removalName = "removal"

// Begin starts work on the store, unless ctx has ended. What has begun is finished: of a change that was cut off in the
// middle, the next process would have to clean up.
func (s *Store) Begin(ctx context.Context) (*scratch.Dir, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return scratch.New(s.TempRoot())
}

// Finish ends work on the store, and removes what it has left unfinished. If that cannot be done now, because the disk
// is full, say, whoever opens the store next does it.
func (s *Store) Finish(place *scratch.Dir) error {
	clean := func() error { return errors.Join(s.Forget(), s.clean(nil)) }
	if s.withReserve(clean) == nil {
		return place.Close()
	}
	return place.Abandon(removalName)
}

// Forget has the library read the records from disk before it next uses them. After a write that failed it goes on with
// what it failed to write.
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

// Free is Change for what removes a container, given its full id.
func (s *Store) Free(ctx context.Context, id string, do func() error) error {
	return s.withReserve(func() error {
		return s.Change(ctx, func() error { return errors.Join(s.removeTrees(id), do()) })
	})
}

// DeleteImage removes an image with all its names, and the layers that nothing else needs, whose ids it returns. Should
// the process be killed after the first of it, the rest of the layers goes when the store is next opened.
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

// removeTrees removes what a container has written, with a driver of the library's, so that the library has nothing
// deep to remove. A container of which that is gone is removed to the end when it is removed again.
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
