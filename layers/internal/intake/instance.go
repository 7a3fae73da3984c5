package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers/imagename"
)

// Under a name, a registry or an image layout has an image, or an index of images for several platforms, which may
// contain further indexes. The library looks into the outermost index only. So this file chooses the image, and shows
// the library that one alone.

// Bounds of what an index leads to, because anybody may have written it.
const (
	maxIndexDepth = 8   // of indexes within each other
	maxIndexes    = 100 // of indexes in all
)

// AttestationKey annotates manifests that BuildKit puts beside an image: they describe that image and are none.
const AttestationKey = "vnd.docker.reference.type"

// InstanceOf returns the digest of the image in src for the wanted platform. It returns nil if src has one image and no
// index.
func InstanceOf(ctx context.Context, sys *types.SystemContext, src types.ImageSource) (*digest.Digest, error) {
	top, kind, err := src.GetManifest(ctx, nil)
	if err != nil || !manifest.MIMETypeIsMultiImage(kind) {
		return nil, err
	}
	s := indexSearch{src: src, seen: map[digest.Digest]bool{}}
	if err := s.index(ctx, top, nil, maxIndexDepth); err != nil {
		return nil, err
	}
	instance, err := manifest.OCI1IndexFromComponents(s.images, nil).ChooseInstance(sys)
	if err != nil {
		return nil, fault.Errorf(errdefs.ErrNotFound, "no matching manifest for %s in the manifest list entries",
			imagename.WantedPlatform(sys))
	}
	return &instance, nil
}

// indexSearch collects the images that an index leads to.
type indexSearch struct {
	src    types.ImageSource
	seen   map[digest.Digest]bool // indexes
	images []v1.Descriptor
}

// index collects the entries of an index. Entries that say no platform are for the given one.
func (s *indexSearch) index(ctx context.Context, data []byte, platform *v1.Platform, depth int) error {
	var index v1.Index // a manifest list of docker has the same fields
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("read index of images: %w", err)
	}
	for _, entry := range index.Manifests {
		if IsAttestation(entry) {
			continue
		}
		if err := entry.Digest.Validate(); err != nil {
			return fmt.Errorf("read index of images: %w", err)
		}
		if entry.Platform == nil {
			entry.Platform = platform
		}
		if !manifest.MIMETypeIsMultiImage(entry.MediaType) {
			s.images = append(s.images, entry)
			continue
		}
		if s.seen[entry.Digest] {
			continue
		}
		s.seen[entry.Digest] = true
		if depth <= 1 || len(s.seen) >= maxIndexes {
			return fault.Errorf(errdefs.ErrInvalidArgument, "the index of images leads to too many others")
		}
		inner, _, err := image.UnparsedInstance(s.src, &entry.Digest).Manifest(ctx)
		if err != nil {
			return err
		}
		if err := s.index(ctx, inner, entry.Platform, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// IsAttestation tells whether an entry of an index is not an image but describes one.
func IsAttestation(entry v1.Descriptor) bool {
	p := entry.Platform
	return entry.Annotations[AttestationKey] != "" || entry.ArtifactType != "" ||
		p != nil && p.OS == "unknown" && p.Architecture == "unknown"
}

// instanceReference is one image of an index.
type instanceReference struct {
	types.ImageReference
	instance digest.Digest
}

// NewImageSource opens the image.
func (r instanceReference) NewImageSource(ctx context.Context, sys *types.SystemContext) (types.ImageSource, error) {
	src, err := r.ImageReference.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	return instanceSource{src, r.instance}, nil
}

// NewImage opens the image.
func (r instanceReference) NewImage(ctx context.Context, sys *types.SystemContext) (types.ImageCloser, error) {
	return NewImage(ctx, sys, r)
}

// NewImage opens the image that a reference's source has.
func NewImage(ctx context.Context, sys *types.SystemContext, ref types.ImageReference) (types.ImageCloser, error) {
	src, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	img, err := image.FromSource(ctx, sys, src)
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return img, nil
}

type instanceSource struct {
	types.ImageSource
	instance digest.Digest
}

// GetManifest returns the manifest of the image, whose digest is verified.
func (s instanceSource) GetManifest(ctx context.Context, instance *digest.Digest) ([]byte, string, error) {
	if instance == nil {
		instance = &s.instance
	}
	return image.UnparsedInstance(s.ImageSource, instance).Manifest(ctx)
}

// GetSignatures returns the signatures of the image.
func (s instanceSource) GetSignatures(ctx context.Context, instance *digest.Digest) ([][]byte, error) {
	if instance == nil {
		instance = &s.instance
	}
	return s.ImageSource.GetSignatures(ctx, instance)
}

// LayerInfosForCopy returns the layers of the image, where the source has another form of them.
func (s instanceSource) LayerInfosForCopy(ctx context.Context, instance *digest.Digest) ([]types.BlobInfo, error) {
	if instance == nil {
		instance = &s.instance
	}
	return s.ImageSource.LayerInfosForCopy(ctx, instance)
}
