package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/progress"
)

// PullOptions is how to pull an image.
type PullOptions struct {
	Options
	// Progress is told how far the pull is; nil is quiet.
	Progress progress.Reporter
	// Platform is "os/arch[/variant]" of the image to take where there are several; "" is the host's.
	Platform string
}

// Pulled is an image that was pulled.
type Pulled struct {
	layers.Image
	// Name is the full name under which the image was pulled, FamiliarName the name as people write it.
	Name, FamiliarName string
	// RepoDigest is the digest of what the registry has under the name, which may be a list of images.
	RepoDigest digest.Digest
	// UpToDate says that the name meant this image before.
	UpToDate bool
}

// Pull copies an image from a registry into the store. Its name then means this image. If another image had the name,
// that image stays without it.
//
// Several processes may pull at once: each blob is fetched by one of them. A pull that ends early leaves no image and
// no layer, and the next pull goes on with what it has fetched.
func Pull(ctx context.Context, s *layers.Store, ref string, opts PullOptions) (Pulled, error) {
	pulled, err := pull(ctx, s, ref, opts)
	if err != nil {
		return Pulled{}, fmt.Errorf("pull %s: %w", ref, err)
	}
	return pulled, nil
}

func pull(ctx context.Context, s *layers.Store, ref string, opts PullOptions) (_ Pulled, err error) {
	names, err := imagename.Candidates(ref)
	if err != nil {
		return Pulled{}, err
	}
	t, err := intake.NewTransfer(ctx, s, opts.Platform)
	if err != nil {
		return Pulled{}, err
	}
	defer func() { err = errors.Join(err, t.Close(), s.Core().Blobs().Sweep()) }()
	for _, name := range names {
		pulled, failure := pullFrom(ctx, t, name, opts)
		failure = registryError(failure, reference.Domain(name))
		switch {
		case failure == nil:
			return pulled, nil
		case len(names) == 1:
			return Pulled{}, failure
		case err == nil:
			err = fmt.Errorf("%s: %w", name, failure)
		default:
			err = fmt.Errorf("%w; %s: %w", err, name, failure)
		}
	}
	return Pulled{}, err
}

// Tags returns the full names of all images in a repository that have a tag, sorted.
func Tags(ctx context.Context, s *layers.Store, repository string, opts Options) ([]string, error) {
	names, err := tags(ctx, s, repository, opts)
	if err != nil {
		return nil, fmt.Errorf("list tags of %s: %w", repository, err)
	}
	return names, nil
}

func tags(ctx context.Context, s *layers.Store, repository string, opts Options) (names []string, err error) {
	name, err := imagename.ParseRepository(repository)
	if err != nil {
		return nil, err
	}
	t, err := intake.NewTransfer(ctx, s, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	ref, err := docker.NewReference(reference.TagNameOnly(name))
	if err != nil {
		return nil, err
	}
	var tags []string
	err = opts.Retry.do(ctx, func() (err error) {
		tags, err = docker.GetRepositoryTags(ctx, system(t, name, opts), ref)
		return err
	})
	if err != nil {
		return nil, registryError(err, reference.Domain(name))
	}
	slices.Sort(tags)
	for _, tag := range tags {
		tagged, err := reference.WithTag(name, tag)
		if err != nil {
			return nil, err
		}
		names = append(names, tagged.String())
	}
	return names, nil
}
