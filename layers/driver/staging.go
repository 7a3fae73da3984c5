package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	graphdriver "go.podman.io/storage/drivers"

	"github.com/rcrun/rcrun/layers/internal/scratch"
	"github.com/rcrun/rcrun/layers/tree"
)

// StartStagingDiffToApply unpacks a tar into a tree that belongs to no layer yet. It returns the function that removes
// the tree if it has not been moved into place, the tree, and the size of its files in bytes.
func (s staging[C, A, P]) StartStagingDiffToApply(parent string, options graphdriver.ApplyDiffOpts) (C, *A, int64,
	error) {
	place, err := scratch.New(s.layout.Staging())
	if err != nil {
		return nil, nil, -1, err
	}
	dir := filepath.Join(place.Path, DiffDir)
	size, err := s.unpack(dir, parent, options)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("layer %s below it: %w: %w", parent, graphdriver.ErrLayerUnknown, err)
	}
	if err != nil {
		return place.Close, nil, -1, err
	}
	return place.Close, &A{Path: dir}, size, nil
}

func (s staging[C, A, P]) unpack(dir, parent string, options graphdriver.ApplyDiffOpts) (int64, error) {
	if err := s.layout.makeTree(dir, s.layout.ParentTree(parent), ""); err != nil {
		return -1, err
	}
	lowers, err := s.layout.Chain(parent)
	if err != nil {
		return -1, err
	}
	return s.layout.unpack(dir, options.Diff, tree.UnpackOptions{Lowers: lowers, Limits: *s.limits})
}

// CommitStagedLayer makes a staged tree and its index those of a layer, in place of the empty tree that the layer was
// created with.
func (s staging[C, A, P]) CommitStagedLayer(id string, staged *A) error {
	dir := s.layout.Diff(id)
	index := indexOf(struct{ Path string }(*staged).Path)
	if err := os.Rename(index, s.layout.Index(id)); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil {
		return err
	}
	return P(staged).Commit(dir)
}
