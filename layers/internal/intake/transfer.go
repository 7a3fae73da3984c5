package intake

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

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/scratch"
	"github.com/rcrun/rcrun/layers/progress"
)

// Transfer brings images into the store. It has a scratch directory of its own, which Close removes.
type Transfer struct {
	Store   *layers.Store
	Scratch *scratch.Dir
	Policy  *signature.PolicyContext
	Sys     *types.SystemContext
}

// NewTransfer prepares a transfer. Its files are kept inside the store: so moving them is a rename, and the disk that
// fills up is the one that the user knows of.
func NewTransfer(ctx context.Context, s *layers.Store, platform string) (_ *Transfer, err error) {
	system, arch, variant, err := imagename.ParsePlatform(platform)
	if err != nil {
		return nil, err
	}
	// Layers that earlier transfers have left for too long are removed. If that fails, this transfer can begin
	// nevertheless.
	_, _ = s.Core().Tidy(ctx, time.Now().Add(-core.KeepTime))
	place, err := s.Core().Begin(ctx)
	if err != nil {
		return nil, err
	}
	t := &Transfer{Store: s, Scratch: place}
	t.Sys = &types.SystemContext{
		BigFilesTemporaryDir: place.Path,
		BlobInfoCacheDir:     filepath.Join(s.Core().Root, "cache"),
		OSChoice:             system,
		ArchitectureChoice:   arch,
		VariantChoice:        variant,
	}
	if t.Policy, err = newPolicy(t.Sys); err != nil {
		return nil, errors.Join(err, place.Close())
	}
	return t, nil
}

func (t *Transfer) Close() error {
	return errors.Join(t.Policy.Destroy(), t.Store.Core().Finish(t.Scratch))
}

// Incoming is an image on its way into the store.
type Incoming struct {
	Src    types.ImageReference
	Name   reference.Named // nil for an image without one
	Policy *signature.PolicyContext
	Report *progress.Report // of what happens to the layers
	// Ahead begins to fetch the layers before they are asked for, until stop is called; nil where there is nothing to
	// fetch.
	Ahead func(ctx context.Context, layers []NewLayer) (stop func())
}

// Take brings an image into the store and returns its id.
func (t *Transfer) Take(ctx context.Context, in Incoming) (id string, err error) {
	contents, err := t.Describe(ctx, in.Src)
	if err != nil {
		return "", err
	}
	layers, err := Claim(t.Store, contents.diffIDs)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, ReleaseLayers(t.Store, layers, contents.diffIDs, err != nil)) }()
	if err := t.unpackLayers(ctx, in, contents); err != nil {
		return "", err
	}
	if direct, err := needsRecord(t.Store, contents); err != nil {
		return "", err
	} else if direct {
		return t.makeRecord(ctx, in, contents)
	}
	return t.copyImage(ctx, in, contents)
}

// copyImage has the library copy an image. The library finds the layers in the store, where they have been unpacked.
func (t *Transfer) copyImage(ctx context.Context, in Incoming, contents contents) (id string, err error) {
	if in.Name == nil {
		id = contents.ID
	}
	dest, err := istorage.Transport.NewStoreReference(t.Store.Core().Lib, in.Name, id)
	if err != nil {
		return "", err
	}
	var resolved types.ImageReference
	options := &imagecopy.Options{SourceCtx: t.Sys, DestinationCtx: t.Sys, ReportResolvedReference: &resolved}
	defer in.Report.Follow(options,
		map[types.ProgressEvent]progress.LayerState{types.ProgressEventSkipped: progress.LayerExists})()
	if _, err = imagecopy.Image(ctx, in.Policy, dest, in.Src, options); err != nil {
		return "", t.explain(err)
	}
	_, record, err := istorage.ResolveReference(resolved)
	if err != nil {
		return "", err
	}
	return record.ID, nil
}

// HasLayers tells whether the layers of an image are on record, too. If they were lost, the image is brought in again.
func HasLayers(s *layers.Store, record *storage.Image) bool {
	_, err := s.Core().Lib.Layer(record.TopLayer)
	return err == nil || record.TopLayer == ""
}

// removalTries is how often an image is brought in again. A removal is quick, and after it the layers are not found
// again.
const removalTries = 5

// WhileRemoved brings in an image. It tries again if another process has meanwhile removed something that was there at
// the beginning: a layer, together with the last image that had it, or the image before it got its name.
func WhileRemoved(bring func() (id string, err error)) (id string, err error) {
	for range removalTries {
		if id, err = bring(); !core.IsMissing(err) {
			break
		}
	}
	return id, err
}

// explain adds to an error that the disk is full, where the library has lost that: if it cannot write a small blob, it
// says that the blob has the wrong size.
func (t *Transfer) explain(err error) error {
	var disk unix.Statfs_t
	if !errors.Is(err, istorage.ErrBlobSizeMismatch) || unix.Statfs(t.Scratch.Path, &disk) != nil || disk.Bavail > 16 {
		return err
	}
	return fmt.Errorf("%w: %w", err, unix.ENOSPC)
}

// contents is what an image's configuration says.
type contents struct {
	ID      string // of the image: the digest of the configuration
	diffIDs []digest.Digest
	Layers  []types.BlobInfo // as the image has them, compressed or not
}

// Describe reads the configuration of an image.
func (t *Transfer) Describe(ctx context.Context, src types.ImageReference) (_ contents, err error) {
	img, err := src.NewImage(ctx, t.Sys)
	if err != nil {
		return contents{}, err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	config, err := img.OCIConfig(ctx)
	if err != nil {
		return contents{}, err
	}
	return contents{ID: img.ConfigInfo().Digest.Encoded(), diffIDs: config.RootFS.DiffIDs, Layers: img.LayerInfos()},
		nil
}

// Ask asks the signature policy about an image, even if the store has all of it: with a name the image gets the trust
// that people have in that name.
func (t *Transfer) Ask(ctx context.Context, src types.ImageReference) (err error) {
	source, err := src.NewImageSource(ctx, t.Sys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	return Allow(ctx, t.Policy, image.UnparsedInstance(source, nil))
}

// Choose returns the image for the wanted platform in what ref names, which may be an index.
func (t *Transfer) Choose(ctx context.Context, ref types.ImageReference) (_ types.ImageReference, err error) {
	src, err := ref.NewImageSource(ctx, t.Sys)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	instance, err := InstanceOf(ctx, t.Sys, src)
	if instance == nil || err != nil {
		return ref, err
	}
	return instanceReference{ref, *instance}, nil
}

// UserAgent is the name of this program towards registries and other servers.
const UserAgent = "rcrun"
