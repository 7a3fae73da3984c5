package core

import (
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/storage"
)

// ImageRecord is an image to record. Its layers are in the store.
type ImageRecord struct {
	ID       string // hex digest of the configuration
	Top      string // id of the uppermost layer, "" for none
	Created  time.Time
	Config   []byte
	Manifest []byte
	Names    []string // in full
}

// CreateImage records an image, as the library does after it has copied one. The image gets its names last.
func (s *Store) CreateImage(r ImageRecord) error {
	options := &storage.ImageOptions{CreationDate: r.Created}
	sum, err := manifest.Digest(r.Manifest)
	if err != nil {
		return fmt.Errorf("record image: %w", err)
	}
	options.Digest = sum
	options.BigData = []storage.ImageBigDataOption{
		{Key: ConfigKey(r.ID), Data: r.Config, Digest: digest.FromBytes(r.Config)},
		{Key: storage.ImageDigestBigDataKey, Data: r.Manifest, Digest: sum},
		{Key: storage.ImageDigestManifestBigDataNamePrefix + "-" + sum.String(), Data: r.Manifest, Digest: sum},
	}
	if _, err := s.Lib.CreateImage(r.ID, nil, r.Top, "", options); err != nil {
		return fmt.Errorf("record image: %w", err)
	}
	if err := s.Lib.AddNames(r.ID, r.Names); err != nil {
		_, undo := s.Lib.DeleteImage(r.ID, true)
		return errors.Join(fmt.Errorf("name image: %w", err), undo)
	}
	return nil
}

// Descriptor describes data as a manifest does.
func Descriptor(mediaType string, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}
