package layers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/internal/core"
)

// Removal is one step of removing an image: the image lost a name, or an image or layer is gone.
type Removal struct {
	Image    string // the id of the image; "" for a layer of no image
	Untagged string // as people write it
	Deleted  string // "sha256:" and the id
}

// RemoveOptions is how to remove an image.
type RemoveOptions struct {
	// Force also removes an image that has names in several repositories. From an image that containers need it takes
	// the names; the image then stays until the containers are gone.
	Force bool
	// Runs tells whether the container with an id runs. An image that a running container needs is not removed by its
	// id, even with Force. nil means that no container runs.
	Runs func(container string) bool
}

// RemoveImage takes the name ref from an image, or all names if ref is an id, and removes the image when no name is
// left. Layers that other images or containers need stay.
//
// Without Force, an image that a container needs keeps its last name, and an image with names in several repositories
// is not removed by id. Both are errors of the class errdefs.ErrConflict.
func (s *Store) RemoveImage(ctx context.Context, ref string, opts RemoveOptions) ([]Removal, error) {
	record, err := s.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	names, byID := namesToRemove(ref, record)
	if len(names) < len(record.Names) {
		return s.untag(ctx, record.ID, names)
	}
	if err := s.mayRemove(ref, record, byID, opts); err != nil {
		return nil, err
	}
	// The library removes the names with the record, so a crash leaves all of them or none.
	removed, err := s.core.DeleteImage(ctx, record.ID)
	if opts.Force && errors.Is(err, storage.ErrImageUsedByContainer) {
		return s.untag(ctx, record.ID, names)
	}
	if err != nil && !core.IsMissing(err) {
		return nil, fmt.Errorf("remove image %s: %w", ref, err)
	}
	steps := Untagged(record.ID, names)
	for _, id := range append([]string{record.ID}, removed...) {
		steps = append(steps, Removal{Image: record.ID, Deleted: "sha256:" + id})
	}
	return steps, nil
}

// namesToRemove returns the names of the image that ref means: the name itself, or all names where ref is an id.
func namesToRemove(ref string, record storage.Image) (names []string, byID bool) {
	name, err := imagename.Parse(ref)
	full, isName := imagename.Among(ref, record.Names)
	switch {
	case isName:
		return []string{full}, false
	case err != nil || strings.HasPrefix(record.ID, strings.TrimPrefix(ref, "sha256:")):
		return record.Names, true
	}
	// A digest of a repository stands for the names of that repository.
	for _, n := range record.Names {
		if imagename.Repository(n) == name.Name() {
			names = append(names, n)
		}
	}
	return names, false
}

// mayRemove tells why an image must keep its last name.
func (s *Store) mayRemove(ref string, record storage.Image, byID bool, opts RemoveOptions) error {
	inSeveral := slices.ContainsFunc(record.Names,
		func(n string) bool { return imagename.Repository(n) != imagename.Repository(record.Names[0]) })
	if byID && inSeveral && !opts.Force {
		return fault.Errorf(errdefs.ErrConflict,
			"remove image %s: it has names in several repositories (%s); remove them one by one, or use force",
			ref, strings.Join(record.Names, ", "))
	}
	if opts.Force && (!byID || opts.Runs == nil) {
		return nil
	}
	containers, err := s.core.Lib.Containers()
	if err != nil {
		return fmt.Errorf("remove image %s: %w", ref, err)
	}
	for _, c := range containers {
		switch runs := opts.Runs != nil && opts.Runs(c.ID); {
		case c.ImageID != record.ID:
		case opts.Force && runs:
			return fault.Errorf(errdefs.ErrConflict, "remove image %s: the running container %s uses it", ref, c.ID)
		case !opts.Force:
			return fault.Errorf(errdefs.ErrConflict,
				"remove image %s: container %s uses it; remove that first, or use force", ref, c.ID)
		}
	}
	return nil
}

func (s *Store) untag(ctx context.Context, id string, names []string) ([]Removal, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if err := s.core.Change(ctx, func() error { return s.core.Lib.RemoveNames(id, names) }); err != nil {
		return nil, fmt.Errorf("take names from image %s: %w", id, err)
	}
	return Untagged(id, names), nil
}

// Untagged returns the steps by which an image loses names.
func Untagged(id string, names []string) (steps []Removal) {
	for _, name := range names {
		steps = append(steps, Removal{Image: id, Untagged: imagename.Familiar(name)})
	}
	return steps
}
