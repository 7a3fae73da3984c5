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

// Claims are the contents that a transfer claims, by digest.
type Claims map[digest.Digest]*blobcache.Claim

// Claim claims contents, each once.
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

// Release gives up all claims, and keeps what was fetched if keep is set.
func (c Claims) Release(keep bool) error {
	var errs []error
	for _, claim := range c {
		errs = append(errs, claim.Release(keep))
	}
	return errors.Join(errs...)
}

// ReleaseLayers gives up the claims to the layers of an image. If the transfer ended early, it removes the layers that
// came into the store with it, the highest first, except those that something else needs.
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

// removeUnused removes the layers with a content that no image, container or other layer needs.
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
