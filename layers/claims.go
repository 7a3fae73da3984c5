package layers

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers/blobcache"
)

// claims are the blobs of an image that is being pulled.
type claims map[digest.Digest]*blobcache.Claim

func (s *Store) claim(blobs []digest.Digest) (claims, error) {
	claimed := claims{}
	for _, blob := range blobs {
		if claimed[blob] != nil {
			continue
		}
		claim, err := s.blobs().Claim(blob)
		if err != nil {
			return nil, errors.Join(err, claimed.release(true))
		}
		claimed[blob] = claim
	}
	return claimed, nil
}

func (c claims) release(keep bool) error {
	var errs []error
	for _, claim := range c {
		errs = append(errs, claim.Release(keep))
	}
	return errors.Join(errs...)
}

// releaseLayers gives up the claims to layers of an image. If its transfer ended early, those that came into the store
// with it are removed, the highest first, except what others need.
func (s *Store) releaseLayers(claimed claims, diffIDs []digest.Digest, abandoned bool) error {
	if !abandoned {
		return claimed.release(true)
	}
	var errs []error
	for _, diffID := range slices.Backward(diffIDs) {
		if claim, ok := claimed[diffID]; ok {
			errs = append(errs, claim.ReleaseLast(func() error { return s.removeUnused(diffID) }))
			delete(claimed, diffID)
		}
	}
	return errors.Join(errs...)
}

// removeUnused removes the layers of a certain content that no image, container or other layer needs.
func (s *Store) removeUnused(diffID digest.Digest) error {
	layers, err := s.lib.LayersByUncompressedDigest(diffID)
	if errors.Is(err, storage.ErrLayerUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, layer := range layers {
		err := s.lib.DeleteLayer(layer.ID)
		if err != nil && !isMissing(err) && !isNeeded(err) {
			return fmt.Errorf("remove layer of an unfinished image: %w", err)
		}
	}
	return nil
}
