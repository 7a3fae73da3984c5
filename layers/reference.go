package layers

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/storage"
)

// normalize returns the full form of an image name: with registry, and with the tag "latest" where there is neither a
// tag nor a digest.
func normalize(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, invalidf("image name %q: %w", name, err)
	}
	return reference.TagNameOnly(ref), nil
}

// repositoryName returns the full name of a repository.
func repositoryName(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, invalidf("repository %q: %w", name, err)
	}
	if !reference.IsNameOnly(ref) {
		return nil, invalidf("repository %q has a tag or a digest, which name one image", name)
	}
	return ref, nil
}

// find returns the record that ref names. A name goes before an id that begins the same, a full id before a name.
func (s *Store) find(ref string) (storage.Image, error) {
	records, err := s.lib.Images()
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

// meanings yields the full names that ref may stand for: docker's, and for a name without a registry then what it would
// be pulled as. The configuration which says that is read only when it is needed.
func meanings(ref string) iter.Seq[reference.Named] {
	return func(yield func(reference.Named) bool) {
		name, err := normalize(ref)
		if err != nil || !yield(name) || !isShort(ref) {
			return
		}
		others, err := candidates(ref)
		if err != nil {
			return // which pulling the name says
		}
		for _, other := range others {
			if !yield(other) {
				return
			}
		}
	}
}

// indexNamed returns which record has ref for a name, -1 if none has.
func indexNamed(ref string, records []storage.Image) int {
	for name := range meanings(ref) {
		if i := slices.IndexFunc(records, named(name)); i >= 0 {
			return i
		}
	}
	return -1
}

// nameAmong returns which of an image's full names ref is. It is none where ref is an id, or has a digest that the image
// was not pulled by.
func nameAmong(ref string, names []string) (string, bool) {
	for name := range meanings(ref) {
		if slices.Contains(names, name.String()) {
			return name.String(), true
		}
	}
	return "", false
}

// named returns a test for images that have a name.
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
		return storage.Image{}, notFoundAmong(ref, records)
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
		return storage.Image{}, notFoundAmong(ref, records)
	case 1:
		return matches[0], nil
	}
	return storage.Image{}, ambiguous("image", ref, ids)
}
