package layers

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/storage"
)

// Removal is one step of removing an image: a name that it lost, or an id of an image or layer that is gone.
type Removal struct {
	Untagged string // as people write it
	Deleted  string // "sha256:" and the id
}

// RemoveImage takes from an image the name that ref is, or all if ref is an id, and removes the image when no name is
// left. Layers that other images or containers need stay.
//
// Without force, an image that a container needs keeps its last name (ErrInUse), and one of several names is not
// removed by id (ErrConflict). With force, an image that a container needs loses its names but stays.
func (s *Store) RemoveImage(ref string, force bool) ([]Removal, error) {
	record, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	names := namesToRemove(ref, record)
	left := len(record.Names) - len(names)
	if left > 0 {
		return s.untag(record.ID, names)
	}
	if err := s.mayRemove(ref, record, names, force); err != nil {
		return nil, err
	}
	steps, err := s.untag(record.ID, names)
	if err != nil {
		return steps, err
	}
	removed, err := s.lib.DeleteImage(record.ID, true)
	if force && errors.Is(err, storage.ErrImageUsedByContainer) {
		return steps, nil
	}
	if err != nil && !isMissing(err) {
		return steps, fmt.Errorf("remove image %s: %w", ref, err)
	}
	for _, id := range append([]string{record.ID}, removed...) {
		steps = append(steps, Removal{Deleted: "sha256:" + id})
	}
	return steps, nil
}

// namesToRemove returns those names of the image that ref means: itself, or all where ref is an id.
func namesToRemove(ref string, record storage.Image) []string {
	name, err := normalize(ref)
	if err != nil || strings.HasPrefix(record.ID, strings.TrimPrefix(ref, "sha256:")) && !slices.Contains(record.Names, name.String()) {
		return record.Names
	}
	if slices.Contains(record.Names, name.String()) {
		return []string{name.String()}
	}
	// A digest of a repository stands for the names of that repository.
	var names []string
	for _, n := range record.Names {
		if have, err := reference.ParseNormalizedNamed(n); err == nil && have.Name() == name.Name() {
			names = append(names, n)
		}
	}
	return names
}

// mayRemove tells why an image may not lose the last of its names.
func (s *Store) mayRemove(ref string, record storage.Image, names []string, force bool) error {
	if force {
		return nil
	}
	if len(names) > 1 {
		return &storeError{ErrConflict, fmt.Sprintf("remove image %s: it has several names (%s); remove them one by one, or use force",
			ref, strings.Join(names, ", "))}
	}
	containers, err := s.lib.Containers()
	if err != nil {
		return fmt.Errorf("remove image %s: %w", ref, err)
	}
	for _, c := range containers {
		if c.ImageID == record.ID {
			return &storeError{ErrInUse, fmt.Sprintf("remove image %s: container %s uses it", ref, c.ID)}
		}
	}
	return nil
}

func (s *Store) untag(id string, names []string) ([]Removal, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if err := s.lib.RemoveNames(id, names); err != nil {
		return nil, fmt.Errorf("take names from image %s: %w", id, err)
	}
	var steps []Removal
	for _, name := range names {
		steps = append(steps, Removal{Untagged: familiar(name)})
	}
	return steps, nil
}

func familiar(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(ref)
}
