package layers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.podman.io/image/v5/docker/reference"
)

// ImageFilter selects images. All conditions that are set must hold; the zero value takes every image.
type ImageFilter struct {
	Dangling  *bool     // has no name, or has one
	Labels    []string  // has each of these: key, or key=value
	NotLabels []string  // has none of these
	Before    string    // was created before the image of this name or id
	Since     string    // was created after the image of this name or id
	Until     time.Time // was created before this time
	// References are patterns, one of which a name must fit: "debian", "debian:*", "*/team/app:v?".
	References []string
}

// FilterImages returns the images that the filter takes, in their order. If the filter has patterns of names, an image
// keeps only the names that fit.
func (s *Store) FilterImages(ctx context.Context, images []Image, f ImageFilter) ([]Image, error) {
	before, err := s.createdWhen(ctx, f.Before)
	if err != nil {
		return nil, err
	}
	since, err := s.createdWhen(ctx, f.Since)
	if err != nil {
		return nil, err
	}
	var kept []Image
	for _, img := range images {
		young := before.IsZero() || img.Created.Before(before)
		old := since.IsZero() || img.Created.After(since)
		until := f.Until.IsZero() || img.Created.Before(f.Until)
		if !young || !old || !until || !f.matches(&img) {
			continue
		}
		fits, err := img.keepNames(f.References)
		if err != nil {
			return nil, err
		}
		if fits {
			kept = append(kept, img)
		}
	}
	return kept, nil
}

// createdWhen returns when the image of a name was created, the zero time for no name.
func (s *Store) createdWhen(ctx context.Context, ref string) (time.Time, error) {
	if ref == "" {
		return time.Time{}, nil
	}
	record, err := s.Find(ctx, ref)
	return record.Created, err
}

// matches looks at the conditions that are about the image alone.
func (f *ImageFilter) matches(img *Image) bool {
	hasLabel := func(label string) bool {
		key, want, hasValue := strings.Cut(label, "=")
		value, there := img.Config.Config.Labels[key]
		return there && (!hasValue || value == want)
	}
	lacksLabel := func(label string) bool { return !hasLabel(label) }
	return (f.Dangling == nil || *f.Dangling == (len(img.Names) == 0)) &&
		!slices.ContainsFunc(f.Labels, lacksLabel) && !slices.ContainsFunc(f.NotLabels, hasLabel)
}

// keepNames drops the names that fit none of the patterns, and tells whether any name is left. Without patterns every
// name fits.
func (img *Image) keepNames(patterns []string) (bool, error) {
	if len(patterns) == 0 {
		return true, nil
	}
	var tags, digests []string
	for _, name := range slices.Concat(img.RepoTags, img.RepoDigests) {
		fits, err := matchesAny(patterns, name)
		if err != nil {
			return false, err
		}
		switch {
		case !fits:
		case strings.Contains(name, "@"):
			digests = append(digests, name)
		default:
			tags = append(tags, name)
		}
	}
	img.RepoTags, img.RepoDigests = tags, digests
	return len(tags)+len(digests) > 0, nil
}

func matchesAny(patterns []string, name string) (bool, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return false, nil // no user can ask for such a name
	}
	for _, pattern := range patterns {
		fits, err := reference.FamiliarMatch(pattern, ref)
		if err != nil {
			return false, fmt.Errorf("image name pattern %q: %w", pattern, err)
		}
		if fits {
			return true, nil
		}
	}
	return false, nil
}
