package upkeep

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/tree"
)

// checkIndex looks at the index of a layer: whether it can be used and, if deep, whether the layer's tree still is as
// the index says. The error is tree.ErrBadIndex if the index is wrong. A layer may have no index.
func checkIndex(s *layers.Store, id string, deep bool) error {
	path := s.Core().Layout.Index(id)
	if s.Core().Layout.Plain {
		return checkOnlyIndex(s, id, deep)
	}
	if _, err := os.Lstat(path); s.Core().DriverName != driver.Fuse || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if !deep {
		index, err := layerindex.Open(path)
		if err != nil {
			return fmt.Errorf("%w: %w", tree.ErrBadIndex, err)
		}
		return index.Close()
	}
	return compareIndex(s, id)
}

// checkOnlyIndex is checkIndex for a store in which only the index knows the owners of a layer's files: without its
// index the layer is lost.
func checkOnlyIndex(s *layers.Store, id string, deep bool) error {
	err := tree.VerifyIndex(s.Core().Layout.Index(id))
	if err == nil && deep {
		err = compareIndex(s, id)
	}
	if errors.Is(err, tree.ErrBadIndex) {
		return fmt.Errorf("the owners of its files are lost with its index; pull or load its image again: %v", err)
	}
	return err
}

// compareIndex compares the tree of a layer with its index.
func compareIndex(s *layers.Store, id string) error {
	// In memory, because the disk may be full.
	fd, err := unix.MemfdCreate(driver.IndexName, unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make room for an index: %w", err)
	}
	scratch := os.NewFile(uintptr(fd), fmt.Sprintf("/proc/self/fd/%d", fd))
	defer scratch.Close()
	root, err := os.Open(s.Core().Layout.Diff(id))
	if err != nil {
		return err
	}
	defer root.Close()
	return tree.CheckIndex(root, scratch, s.Core().Layout.Index(id), s.Core().Layout.Plain)
}

// repairIndex writes a new index of a layer.
func repairIndex(s *layers.Store, id string) error {
	root, err := os.Open(s.Core().Layout.Diff(id))
	if err != nil {
		return err
	}
	defer root.Close()
	return driver.WriteIndex(root, s.Core().Layout.Index(id), nil)
}
