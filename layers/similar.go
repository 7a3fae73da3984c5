package layers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/storage"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers/imagename"
)

// maxSimilar is how many images an error names that are like the one which is not in the store.
const maxSimilar = 3

// SimilarTo says which images in the store have names like ref: "debian:12 is here". It is "" if there are none.
func (s *Store) SimilarTo(ctx context.Context, ref string) string {
	if ctx.Err() != nil {
		return ""
	}
	records, err := s.core.Lib.Images()
	if err != nil {
		return ""
	}
	return similarTo(ref, records)
}

func similarTo(ref string, records []storage.Image) string {
	asked, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	ranked := [4][]string{}
	for _, record := range records {
		for _, name := range record.Names {
			have, err := reference.ParseNormalizedNamed(name)
			if err != nil {
				continue
			}
			if rank := imagename.Likeness(asked, have); rank < len(ranked) {
				ranked[rank] = append(ranked[rank], reference.FamiliarString(have))
			}
		}
	}
	var names []string
	for _, alike := range ranked {
		slices.Sort(alike)
		names = append(names, alike...)
	}
	switch names = names[:min(len(names), maxSimilar)]; len(names) {
	case 0:
		return ""
	case 1:
		return names[0] + " is here"
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last] + " are here"
}

// NotFoundAmong is the error of an image that is not in the store. It names images with similar names among the
// records.
func NotFoundAmong(ref string, records []storage.Image) error {
	text := fmt.Sprintf("no image %q in the store", ref)
	if similar := similarTo(ref, records); similar != "" {
		text += "; " + similar
	}
	return fault.As(errdefs.ErrNotFound, errors.New(text))
}
