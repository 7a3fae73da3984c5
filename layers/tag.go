package layers

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers/imagename"
)

// Tag gives an image further names. If another image had one of the names, it loses that name.
func (s *Store) Tag(ctx context.Context, ref string, names ...string) error {
	full := make([]string, len(names))
	for i, name := range names {
		n, err := imagename.New(name)
		if err != nil {
			return fmt.Errorf("tag %s: %w", ref, err)
		}
		full[i] = n.String()
	}
	record, err := s.Find(ctx, ref)
	if err != nil {
		return err
	}
	if err := s.core.Change(ctx, func() error { return s.core.Lib.AddNames(record.ID, full) }); err != nil {
		return fmt.Errorf("tag %s: %w", ref, err)
	}
	return nil
}

// Untag takes names from an image and returns them. Without names it takes all. The image stays.
func (s *Store) Untag(ctx context.Context, ref string, names ...string) ([]Removal, error) {
	record, err := s.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return s.untag(ctx, record.ID, record.Names)
	}
	full := make([]string, len(names))
	for i, name := range names {
		n, err := imagename.Parse(name)
		if err != nil {
			return nil, fmt.Errorf("untag %s: %w", ref, err)
		}
		if full[i] = n.String(); !slices.Contains(record.Names, full[i]) {
			return nil, fault.Errorf(errdefs.ErrNotFound, "untag %s: %s is not a name of the image", ref, name)
		}
	}
	return s.untag(ctx, record.ID, full)
}
