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

// Transfer brings images into the store. It has a scratch directory of its own, removed by close.
type Transfer struct {
	Store   *layers.Store
	Scratch *scratch.Dir
	Policy  *signature.PolicyContext
	Sys     *types.SystemContext
}

// NewTransfer prepares a transfer. Its files are kept inside the store, so that moving them is a rename and a disk that
// fills up is the one that the user has been told of.
func NewTransfer(ctx context.Context, s *layers.Store, platform string) (_ *Transfer, err error) {
	system, arch, variant, err := imagename.ParsePlatform(platform)
	if err != nil {
		return nil, err
	}
	// What earlier ones have left for too long is removed; that this fails is no reason not to begin.
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
	// ahead begins to fetch what will be asked for, until stop is called; nil where there is nothing to fetch.
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

// copyImage has the library copy an image, whose layers it finds in the store where they have been unpacked.
func (t *Transfer) copyImage(ctx context.Context, in Incoming, contents contents) (id string, err error) {
	if in.Name == nil {
		id = contents.Id
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

// HasLayers tells whether the layers of an image are on record, too: where they were lost, it is brought in again.
func HasLayers(s *layers.Store, record *storage.Image) bool {
	_, err := s.Core().Lib.Layer(record.TopLayer)
	return err == nil || record.TopLayer == ""
}

// removalTries is how often an image is brought in anew. A removal is quick, and what it has taken is then not there to
// be found again.
const removalTries = 5

// WhileRemoved brings in an image, and does so anew where another process has removed meanwhile what was there when it
// began: a layer that went with the last image which had it, or the image, before it was named.
func WhileRemoved(bring func() (id string, err error)) (id string, err error) {
	for range removalTries {
		if id, err = bring(); !core.IsMissing(err) {
			break
		}
	}
	return id, err
}

// explain adds to an error that the disk is full, where the library has lost that: of a small blob which it could not
// write it says that its size is wrong.
func (t *Transfer) explain(err error) error {
	var disk unix.Statfs_t
	if !errors.Is(err, istorage.ErrBlobSizeMismatch) || unix.Statfs(t.Scratch.Path, &disk) != nil || disk.Bavail > 16 {
		return err
	}
	return fmt.Errorf("%w: %w", err, unix.ENOSPC)
}

// contents is what an image's configuration says.
type contents struct {
	Id      string // of the image: the digest of the configuration
	diffIDs []digest.Digest
	Layers  []types.BlobInfo // as the image has them, compressed or not
}

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
	return contents{Id: img.ConfigInfo().Digest.Encoded(), diffIDs: config.RootFS.DiffIDs, Layers: img.LayerInfos()},
		nil
}

// Ask asks the signature policy about an image, whatever of it is in the store: with a name it gets the trust in that,
// too.
func (t *Transfer) Ask(ctx context.Context, src types.ImageReference) (err error) {
	source, err := src.NewImageSource(ctx, t.Sys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	return Allow(ctx, t.Policy, image.UnparsedInstance(source, nil))
}

// Choose returns the image of the platform that is wanted in what ref is, which may be an index.
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

// UserAgent is how rcrun calls itself to registries.
const UserAgent = "rcrun"
