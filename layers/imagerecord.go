package layers

import (
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/storage"
)

// imageRecord is an image that is to be put on record, whose layers are in the store.
type imageRecord struct {
	id       string // hex digest of the configuration
	top      string // id of the uppermost layer, "" for none
	created  time.Time
	config   []byte
	manifest []byte
	names    []string // in full
}

// createImage makes the record of an image, as the library does when it has copied one, and names it last.
func (s *Store) createImage(r imageRecord) error {
	options := &storage.ImageOptions{CreationDate: r.created}
	sum, err := manifest.Digest(r.manifest)
	if err != nil {
		return fmt.Errorf("record image: %w", err)
	}
	options.Digest = sum
	options.BigData = []storage.ImageBigDataOption{
		{Key: configKey(r.id), Data: r.config, Digest: digest.FromBytes(r.config)},
		{Key: storage.ImageDigestBigDataKey, Data: r.manifest, Digest: sum},
		{Key: storage.ImageDigestManifestBigDataNamePrefix + "-" + sum.String(), Data: r.manifest, Digest: sum},
	}
	if _, err := s.lib.CreateImage(r.id, nil, r.top, "", options); err != nil {
		return fmt.Errorf("record image: %w", err)
	}
	if err := s.lib.AddNames(r.id, r.names); err != nil {
		_, undo := s.lib.DeleteImage(r.id, true)
		return errors.Join(fmt.Errorf("name image: %w", err), undo)
	}
	return nil
}

func descriptor(mediaType string, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}
