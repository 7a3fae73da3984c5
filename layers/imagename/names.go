package imagename

import (
	"iter"
	"path"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/spelling"
)

// Repository returns a name without its tag or digest.
func Repository(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return ref.Name()
}

// Familiar returns an image's full name as people write it: debian:12 for docker.io/library/debian:12.
func Familiar(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(ref)
}

// New normalizes a name that an image is to get. It refuses a digest, which identifies an image and is not a name for
// it, and a name that reads like the beginning of an id, which would hide the image with that id.
func New(name string) (reference.Named, error) {
	ref, err := Parse(name)
	if err != nil {
		return nil, err
	}
	if _, ok := ref.(reference.Digested); ok {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "image name %q: a name to be given has no digest", name)
	}
	if ReadsLikeID(ref) {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "image name %q: it reads like an id", name)
	}
	return ref, nil
}

// ReadsLikeID tells whether a name is written like an abbreviated id, "sha256:0123".
func ReadsLikeID(name reference.Named) bool {
	return reference.FamiliarName(name) == digest.Canonical.String()
}

// Parse returns the full form of an image name: with a registry, and with the tag "latest" if the name has neither a
// tag nor a digest.
func Parse(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "image name %q: %w", name, err)
	}
	return reference.TagNameOnly(ref), nil
}

// ParseRepository returns the full name of a repository.
func ParseRepository(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "repository %q: %w", name, err)
	}
	if !reference.IsNameOnly(ref) {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument,
			"repository %q has a tag or a digest, which name one image", name)
	}
	return ref, nil
}

// Meanings yields the full names that ref may stand for: first Docker's meaning, then, for a name without a registry,
// the names that a pull would try. The configuration that lists those is read only when they are needed.
func Meanings(ref string) iter.Seq[reference.Named] {
	return func(yield func(reference.Named) bool) {
		name, err := Parse(ref)
		if err != nil || !yield(name) || !isShort(ref) {
			return
		}
		others, err := Candidates(ref)
		if err != nil {
			return // a pull of the name reports it
		}
		for _, other := range others {
			if !yield(other) {
				return
			}
		}
	}
}

// Among returns which of an image's full names ref means. It means none if ref is an id, or has a digest that the image
// was not pulled by.
func Among(ref string, names []string) (string, bool) {
	for name := range Meanings(ref) {
		if slices.Contains(names, name.String()) {
			return name.String(), true
		}
	}
	return "", false
}

// NewList normalizes the name that an image is to get; "" is no name.
func NewList(name string) ([]string, error) {
	if name == "" {
		return nil, nil
	}
	full, err := New(name)
	if err != nil {
		return nil, err
	}
	return []string{full.String()}, nil
}

// Likeness tells how alike two names are: 0 for the same repository, higher numbers for less, 4 for not at all.
func Likeness(asked, have reference.Named) int {
	a, b := reference.FamiliarName(asked), reference.FamiliarName(have)
	switch {
	case asked.Name() == have.Name():
		return 0
	case path.Base(a) == path.Base(b):
		return 1
	case spelling.Close(a, b):
		return 2
	case spelling.Close(path.Base(a), path.Base(b)):
		return 3
	}
	return 4
}
