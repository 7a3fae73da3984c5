package layered

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/registry"
)

// PullPolicy is when the image of a new container is pulled.
type PullPolicy string

// The policies, by Docker's names.
const (
	PullMissing PullPolicy = "missing" // if it is not in the store, or is for another platform
	PullAlways  PullPolicy = "always"
	PullNever   PullPolicy = "never"
)

// PullPolicies are all policies.
var PullPolicies = []PullPolicy{PullMissing, PullAlways, PullNever}

// ProvideOptions is how to provide an image.
type ProvideOptions struct {
	Policy PullPolicy // "" is PullMissing
	registry.PullOptions
	// Missing is called before an image is pulled that is not in the store, with the reason; nil is quiet.
	Missing func(reason error)
}

// Provide sees to it that the image that ref names is in the store, as far as the policy allows; under PullNever it
// does nothing. It returns what was pulled, nil if nothing was.
func (e *Engine) Provide(ctx context.Context, ref string, options ProvideOptions) (*registry.Pulled, error) {
	if options.Policy == "" {
		options.Policy = PullMissing
	}
	if !slices.Contains(PullPolicies, options.Policy) {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "invalid pull policy %q: want missing, always or never",
			options.Policy)
	}
	if err := imagename.CheckPlatform(options.Platform); err != nil || options.Policy == PullNever {
		return nil, err
	}
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	if options.Policy == PullMissing {
		reason := lacks(ctx, store, ref, options.Platform)
		if !errdefs.IsNotFound(reason) {
			return nil, reason
		}
		if options.Missing != nil {
			options.Missing(reason)
		}
	}
	pulled, err := e.Pull(ctx, ref, options.PullOptions)
	if err != nil {
		return nil, withSimilar(ctx, store, ref, err)
	}
	return &pulled, nil
}

// lacks returns nil if the image is in the store and for the platform, and otherwise what is wrong.
func lacks(ctx context.Context, store *layers.Store, ref, platform string) error {
	image, err := store.Image(ctx, ref)
	if err != nil {
		return err
	}
	return image.Fits(platform, ref)
}

// withSimilar adds to the error of a pull which images of like names are in the store.
func withSimilar(ctx context.Context, store *layers.Store, ref string, err error) error {
	var platform *imagename.PlatformError
	similar := store.SimilarTo(ctx, ref)
	if similar == "" || errors.As(err, &platform) {
		return err
	}
	return fmt.Errorf("%w (%s)", err, similar)
}
