package layers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers/imagename"
)

// Find returns the record that ref names. A full id comes before a name, and a name before an abbreviated id.
func (s *Store) Find(ctx context.Context, ref string) (storage.Image, error) {
	if ctx.Err() != nil {
		return storage.Image{}, context.Cause(ctx)
	}
	records, err := s.core.Lib.Images()
	if err != nil {
		return storage.Image{}, fmt.Errorf("look up image %q: %w", ref, err)
	}
	id := strings.TrimPrefix(ref, "sha256:")
	if len(id) == digest.SHA256.Size()*2 {
		if i := slices.IndexFunc(records, func(r storage.Image) bool { return r.ID == id }); i >= 0 {
			return records[i], nil
		}
	}
	if i := indexNamed(ref, records); i >= 0 {
		return records[i], nil
	}
	return findPrefix(ref, id, records)
}

// indexNamed returns the index of the record that has the name ref, -1 if none has.
func indexNamed(ref string, records []storage.Image) int {
	for name := range imagename.Meanings(ref) {
		if i := slices.IndexFunc(records, named(name)); i >= 0 {
			return i
		}
	}
	return -1
}

// named returns a test whether an image has a name.
func named(name reference.Named) func(storage.Image) bool {
	digested, ok := name.(reference.Digested)
	if !ok {
		return func(r storage.Image) bool { return slices.Contains(r.Names, name.String()) }
	}
	return func(r storage.Image) bool {
		return slices.Contains(r.Digests, digested.Digest()) && slices.ContainsFunc(r.Names, func(n string) bool {
			have, err := reference.ParseNormalizedNamed(n)
			return err == nil && have.Name() == name.Name()
		})
	}
}

func findPrefix(ref, id string, records []storage.Image) (storage.Image, error) {
	if id == "" || strings.Trim(id, "0123456789abcdef") != "" {
		return storage.Image{}, NotFoundAmong(ref, records)
	}
	var matches []storage.Image
	var ids []string
	for _, r := range records {
		if strings.HasPrefix(r.ID, id) {
			matches, ids = append(matches, r), append(ids, r.ID)
		}
	}
	switch len(matches) {
	case 0:
		return storage.Image{}, NotFoundAmong(ref, records)
	case 1:
		return matches[0], nil
	}
	return storage.Image{}, ambiguous("image", ref, ids)
}

// ambiguous is the error of an abbreviated id that fits several objects of a kind.
func ambiguous(kind, ref string, candidates []string) error {
	return fault.Errorf(errdefs.ErrInvalidArgument, "%s id %q is ambiguous, it may be %s", kind, ref,
		strings.Join(candidates, " or "))
}
