package intake

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/blobcache"
	"github.com/rcrun/rcrun/layers/internal/core"
)

// Claims are the blobs of an image that is being pulled.
type Claims map[digest.Digest]*blobcache.Claim

func Claim(s *layers.Store, blobs []digest.Digest) (Claims, error) {
	claimed := Claims{}
	for _, blob := range blobs {
		if claimed[blob] != nil {
			continue
		}
		claim, err := s.Core().Blobs().Claim(blob)
		if err != nil {
			return nil, errors.Join(err, claimed.Release(true))
		}
		claimed[blob] = claim
	}
	return claimed, nil
}

func (c Claims) Release(keep bool) error {
	var errs []error
	for _, claim := range c {
		errs = append(errs, claim.Release(keep))
	}
	return errors.Join(errs...)
}

// ReleaseLayers gives up the claims to layers of an image. If its transfer ended early, those that came into the store
// with it are removed, the highest first, except what others need.
func ReleaseLayers(s *layers.Store, claimed Claims, diffIDs []digest.Digest, abandoned bool) error {
	if !abandoned {
		return claimed.Release(true)
	}
	var errs []error
	for _, diffID := range slices.Backward(diffIDs) {
		if claim, ok := claimed[diffID]; ok {
			errs = append(errs, claim.ReleaseLast(func() error { return removeUnused(s, diffID) }))
			delete(claimed, diffID)
		}
	}
	return errors.Join(errs...)
}

// removeUnused removes the layers of a certain content that no image, container or other layer needs.
func removeUnused(s *layers.Store, diffID digest.Digest) error {
	layers, err := s.Core().Lib.LayersByUncompressedDigest(diffID)
	if errors.Is(err, storage.ErrLayerUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, layer := range layers {
		err := s.Core().Lib.DeleteLayer(layer.ID)
		if err != nil && !core.IsMissing(err) && !core.IsNeeded(err) {
			return fmt.Errorf("remove layer of an unfinished image: %w", err)
		}
	}
	return nil
}
