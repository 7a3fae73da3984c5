package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/ioutils"

	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/layers/tree"
)

// foreignDiff returns the tar of what a container has changed, of a driver of the library's. It is collected first,
// since the library holds the lock on all layers until all is read.
func (s *Store) foreignDiff(ctx context.Context, id string) (_ io.ReadCloser, err error) {
	place, err := newScratch(s.tempRoot())
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, place.Close())
		}
	}()
	plain := archive.Uncompressed
	diff, err := s.lib.Diff("", id, &storage.DiffOptions{Compression: &plain})
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(place.Path, "diff")
	if err == nil {
		_, err = filecopy.Fill(int(file.Fd()), contextReader{ctx, diff}, make([]byte, copyBuffer))
	}
	if err = errors.Join(err, diff.Close()); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return ioutils.NewReadCloserWrapper(file, func() error { return errors.Join(file.Close(), place.Close()) }), nil
}

// foreignTree returns the tar of all that a container shows, of a driver of the library's.
func (s *Store) foreignTree(id string) (io.ReadCloser, error) {
	root, err := s.lib.Mount(id, "")
	if err != nil {
		return nil, err
	}
	unmount := func() error {
		_, err := s.lib.Unmount(id, false)
		return err
	}
	content, err := archive.TarWithOptions(root, &archive.TarOptions{Compression: archive.Uncompressed})
	if err != nil {
		return nil, errors.Join(err, unmount())
	}
	return ioutils.NewReadCloserWrapper(content, func() error { return errors.Join(content.Close(), unmount()) }), nil
}

// foreignChanges lists what a container has changed, of a driver of the library's.
func (s *Store) foreignChanges(id string, between []string) ([]tree.Change, error) {
	changes, err := s.changesByLibrary(id, between)
	if err != nil {
		return nil, fmt.Errorf("list changes of container %s: %w", id, err)
	}
	kinds := map[archive.ChangeType]tree.ChangeKind{
		archive.ChangeAdd: tree.Added, archive.ChangeModify: tree.Modified, archive.ChangeDelete: tree.Deleted,
	}
	list := make([]tree.Change, len(changes))
	for i, c := range changes {
		list[i] = tree.Change{Path: c.Path, Kind: kinds[c.Kind]}
	}
	return list, nil
}

// foreignExport writes all that a container shows, of a driver of the library's.
func (s *Store) foreignExport(ctx context.Context, w io.Writer, id string) error {
	content, err := s.foreignTree(id)
	if err != nil {
		return fmt.Errorf("export container %s: %w", id, err)
	}
	_, err = io.Copy(contextWriter{ctx, w}, content)
	if err = errors.Join(err, content.Close()); err != nil {
		return fmt.Errorf("export container %s: %w", id, err)
	}
	return nil
}
