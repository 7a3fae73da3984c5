package layers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	imagecopy "go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/signature"
	istorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	"golang.org/x/sys/unix"
)

// transfer brings images into the store. It has a scratch directory of its own, removed by close.
type transfer struct {
	store   *Store
	scratch *scratch
	policy  *signature.PolicyContext
	sys     *types.SystemContext
}

// newTransfer prepares a transfer. Its files are kept inside the store, so that moving them is a rename and a disk that
// fills up is the one that the user has been told of.
func (s *Store) newTransfer(platform string) (_ *transfer, err error) {
	system, arch, variant, err := parsePlatform(platform)
	if err != nil {
		return nil, err
	}
	// What earlier ones have left for too long is removed; that this fails is no reason not to begin.
	_, _ = s.tidy(time.Now().Add(-keepTime))
	place, err := s.begin()
	if err != nil {
		return nil, err
	}
	t := &transfer{store: s, scratch: place}
	t.sys = &types.SystemContext{
		BigFilesTemporaryDir: place.Path,
		BlobInfoCacheDir:     filepath.Join(s.root, "cache"),
		OSChoice:             system,
		ArchitectureChoice:   arch,
		VariantChoice:        variant,
	}
	if t.policy, err = newPolicy(t.sys); err != nil {
		return nil, errors.Join(err, place.Close())
	}
	return t, nil
}

func (t *transfer) close() error { return errors.Join(t.policy.Destroy(), t.store.finish(t.scratch)) }

// intake is an image on its way into the store.
type intake struct {
	src    types.ImageReference
	name   reference.Named // nil for an image without one
	policy *signature.PolicyContext
	report *report // of what happens to the layers
	// ahead begins to fetch what will be asked for, until stop is called; nil where there is nothing to fetch.
	ahead func(ctx context.Context, layers []newLayer) (stop func())
}

// take brings an image into the store and returns its id.
func (t *transfer) take(ctx context.Context, in intake) (id string, err error) {
	contents, err := t.describe(ctx, in.src)
	if err != nil {
		return "", err
	}
	layers, err := t.store.claim(contents.diffIDs)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, t.store.releaseLayers(layers, contents.diffIDs, err != nil)) }()
	if err := t.unpackLayers(ctx, in, contents); err != nil {
		return "", err
	}
	if direct, err := t.store.needsRecord(contents); err != nil {
		return "", err
	} else if direct {
		return t.makeRecord(ctx, in, contents)
	}
	return t.copyImage(ctx, in, contents)
}

// copyImage has the library copy an image, whose layers it finds in the store where they have been unpacked.
func (t *transfer) copyImage(ctx context.Context, in intake, contents contents) (id string, err error) {
	if in.name == nil {
		id = contents.id
	}
	dest, err := istorage.Transport.NewStoreReference(t.store.lib, in.name, id)
	if err != nil {
		return "", err
	}
	var resolved types.ImageReference
	options := &imagecopy.Options{SourceCtx: t.sys, DestinationCtx: t.sys, ReportResolvedReference: &resolved}
	defer in.report.follow(options, map[types.ProgressEvent]LayerState{types.ProgressEventSkipped: LayerExists})()
	if _, err = imagecopy.Image(ctx, in.policy, dest, in.src, options); err != nil {
		return "", t.explain(err)
	}
	_, record, err := istorage.ResolveReference(resolved)
	if err != nil {
		return "", err
	}
	return record.ID, nil
}

// hasLayers tells whether the layers of an image are on record, too: where they were lost, it is brought in again.
func (s *Store) hasLayers(record *storage.Image) bool {
	_, err := s.lib.Layer(record.TopLayer)
	return err == nil || record.TopLayer == ""
}

// removalTries is how often an image is brought in anew. A removal is quick, and what it has taken is then not there to
// be found again.
const removalTries = 5

// whileRemoved brings in an image, and does so anew where another process has removed meanwhile what was there when it
// began: a layer that went with the last image which had it, or the image, before it was named.
func whileRemoved(bring func() (id string, err error)) (id string, err error) {
	for range removalTries {
		if id, err = bring(); !isMissing(err) {
			break
		}
	}
	return id, err
}

// explain adds to an error that the disk is full, where the library has lost that: of a small blob which it could not
// write it says that its size is wrong.
func (t *transfer) explain(err error) error {
	var disk unix.Statfs_t
	if !errors.Is(err, istorage.ErrBlobSizeMismatch) || unix.Statfs(t.scratch.Path, &disk) != nil || disk.Bavail > 16 {
		return err
	}
	return fmt.Errorf("%w: %w", err, unix.ENOSPC)
}

// contents is what an image's configuration says.
type contents struct {
	id      string // of the image: the digest of the configuration
	diffIDs []digest.Digest
	layers  []types.BlobInfo // as the image has them, compressed or not
}

func (t *transfer) describe(ctx context.Context, src types.ImageReference) (_ contents, err error) {
	img, err := src.NewImage(ctx, t.sys)
	if err != nil {
		return contents{}, err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	config, err := img.OCIConfig(ctx)
	if err != nil {
		return contents{}, err
	}
	return contents{id: img.ConfigInfo().Digest.Encoded(), diffIDs: config.RootFS.DiffIDs, layers: img.LayerInfos()}, nil
}

// ask asks the signature policy about an image, whatever of it is in the store: with a name it gets the trust in that,
// too.
func (t *transfer) ask(ctx context.Context, src types.ImageReference) (err error) {
	source, err := src.NewImageSource(ctx, t.sys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	return allow(ctx, t.policy, image.UnparsedInstance(source, nil))
}

// choose returns the image of the platform that is wanted in what ref is, which may be an index.
func (t *transfer) choose(ctx context.Context, ref types.ImageReference) (_ types.ImageReference, err error) {
	src, err := ref.NewImageSource(ctx, t.sys)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	instance, err := instanceOf(ctx, t.sys, src)
	if instance == nil || err != nil {
		return ref, err
	}
	return instanceReference{ref, *instance}, nil
}

// userAgent is how rcrun calls itself to registries.
const userAgent = "rcrun"
