package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	imagecopy "go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/signature"
	istorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/progress"
)

// PushOptions is how to push an image.
type PushOptions struct {
	Options
	// Progress is told how far the push is; nil is quiet.
	Progress progress.Reporter
	// To is the name that the image gets in the registry; "" is the name that it has here.
	To string
}

// Pushed is an image that was pushed.
type Pushed struct {
	Name   string        // in full
	Tag    string        // in the name
	Digest digest.Digest // of the manifest in the registry
	Size   int64         // of the manifest in bytes
}

// Push copies an image to the registry in its name, or in opts.To. It sends the configuration and the layers,
// compressed, and nothing else that the store knows about the image. It does not send layers that the registry has.
func Push(ctx context.Context, s *layers.Store, ref string, opts PushOptions) (Pushed, error) {
	pushed, err := push(ctx, s, ref, opts)
	if err != nil {
		return Pushed{}, fmt.Errorf("push %s: %w", ref, err)
	}
	return pushed, nil
}

func push(ctx context.Context, s *layers.Store, ref string, opts PushOptions) (_ Pushed, err error) {
	record, err := s.Find(ctx, ref)
	if err != nil {
		return Pushed{}, err
	}
	name, err := pushName(ref, opts.To, record.Names)
	if err != nil {
		return Pushed{}, err
	}
	img, err := s.Image(ctx, record.ID)
	if err != nil {
		return Pushed{}, err
	}
	dest, err := docker.NewReference(name)
	if err != nil {
		return Pushed{}, err
	}
	t, err := intake.NewTransfer(ctx, s, "")
	if err != nil {
		return Pushed{}, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	manifest, err := upload(ctx, t, dest, img, opts)
	if err != nil {
		return Pushed{}, registryError(err, reference.Domain(name))
	}
	// another process may have removed the image meanwhile
	if err := s.NoteRepoDigest(img.ID, name, manifest); err != nil && !core.IsMissing(err) {
		return Pushed{}, err
	}
	return Pushed{Name: name.String(), Tag: name.Tag(), Digest: digest.FromBytes(manifest), Size: int64(len(manifest))},
		nil
}

// pushName returns the name under which to push the image that ref found. names are the image's names.
func pushName(ref, to string, names []string) (reference.NamedTagged, error) {
	var name reference.Named
	var err error
	switch full, ok := imagename.Among(ref, names); {
	case to != "":
		name, err = imagename.Parse(strings.TrimPrefix(to, "docker://"))
	case ok:
		name, err = imagename.Parse(full)
	default:
		err = fault.Errorf(errdefs.ErrInvalidArgument,
			"an id says no registry: push the image by a name, or say where to")
	}
	if err != nil {
		return nil, err
	}
	tagged, ok := name.(reference.NamedTagged)
	if !ok {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "%s: a digest cannot be chosen: push to a tag", name)
	}
	return tagged, nil
}

// upload copies an image of the store to a registry and returns its manifest there.
func upload(ctx context.Context, t *intake.Transfer, dest types.ImageReference, img *layers.Image,
	opts PushOptions) (uploaded []byte, err error) {
	src, err := istorage.Transport.NewStoreReference(t.Store.Core().Lib, nil, img.ID)
	if err != nil {
		return nil, err
	}
	report := progress.NewReport(opts.Progress)
	var diffIDs []digest.Digest
	for _, layer := range img.Layers {
		diffIDs = append(diffIDs, layer.DiffID)
	}
	report.Begin(dest.DockerReference().String(), diffIDs)
	sys := system(t, dest.DockerReference(), opts.Options)
	err = opts.Retry.do(ctx, func() error {
		there, err := intake.ThereAlready(ctx, t.Store, dest, sys, img.Layers)
		if err != nil {
			return err
		}
		report.Other = map[digest.Digest]digest.Digest{}
		for diffID, form := range there {
			report.Other[form.Digest] = diffID
		}
		uploaded, err = send(ctx, t, dest, intake.KnownReference{ImageReference: src, There: there}, sys, report)
		return err
	})
	if err != nil {
		return nil, err
	}
	m, err := manifest.FromBlob(uploaded, manifest.GuessMIMEType(uploaded))
	if err != nil {
		return nil, err
	}
	var layers []types.BlobInfo
	for _, layer := range m.LayerInfos() {
		layers = append(layers, layer.BlobInfo)
	}
	return uploaded, intake.Remember(t.Store, img.Layers, layers)
}

// send has the library copy an image to a registry. The signature policy is not asked, because it is about images that
// come into the store.
func send(ctx context.Context, t *intake.Transfer, dest, src types.ImageReference, sys *types.SystemContext,
	report *progress.Report) (_ []byte, err error) {
	policy, err := signature.NewPolicyContext(intake.AcceptAll())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, policy.Destroy()) }()
	options := &imagecopy.Options{SourceCtx: t.Sys, DestinationCtx: sys, RemoveSignatures: true}
	defer report.Follow(options, map[types.ProgressEvent]progress.LayerState{
		types.ProgressEventSkipped:     progress.LayerExists,
		types.ProgressEventNewArtifact: progress.LayerTransfer,
		types.ProgressEventRead:        progress.LayerTransfer,
		types.ProgressEventDone:        progress.LayerDone,
	})()
	return imagecopy.Image(ctx, policy, dest, src, options)
}

// TagsHere returns the full names of all images in the store that are in a repository and have a tag, sorted.
func TagsHere(ctx context.Context, s *layers.Store, repository string) ([]string, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	name, err := imagename.ParseRepository(repository)
	if err != nil {
		return nil, err
	}
	images, err := s.Core().Lib.Images()
	if err != nil {
		return nil, fmt.Errorf("list tags of %s: %w", repository, err)
	}
	var names []string
	for _, image := range images {
		for _, have := range image.Names {
			parsed, err := reference.ParseNormalizedNamed(have)
			if _, isTag := parsed.(reference.NamedTagged); err == nil && isTag && parsed.Name() == name.Name() {
				names = append(names, have)
			}
		}
	}
	if len(names) == 0 {
		return nil, layers.NotFoundAmong(repository, images)
	}
	slices.Sort(names)
	return names, nil
}
