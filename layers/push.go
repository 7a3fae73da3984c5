package layers

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
)

// PushOptions is how to push an image.
type PushOptions struct {
	RegistryOptions
	// Progress is told how the push gets on; nil is quiet.
	Progress Reporter
	// To is the name that the image gets in the registry; "" is the one it has here.
	To string
}

// Pushed is an image that was pushed.
type Pushed struct {
	Name   string        // in full
	Tag    string        // that is in the name
	Digest digest.Digest // of the manifest in the registry
	Size   int64         // of the manifest in bytes
}

// Push copies an image to the registry that its name says, or that opts.To says. What arrives is its configuration and
// its layers, compressed, without anything else that the store knows about them; layers that the registry has are not
// sent again.
func (s *Store) Push(ctx context.Context, ref string, opts PushOptions) (Pushed, error) {
	pushed, err := s.push(ctx, ref, opts)
	if err != nil {
		return Pushed{}, fmt.Errorf("push %s: %w", ref, err)
	}
	return pushed, nil
}

func (s *Store) push(ctx context.Context, ref string, opts PushOptions) (_ Pushed, err error) {
	record, err := s.find(ref)
	if err != nil {
		return Pushed{}, err
	}
	name, err := pushName(ref, opts.To, record.Names)
	if err != nil {
		return Pushed{}, err
	}
	img, err := s.Image(record.ID)
	if err != nil {
		return Pushed{}, err
	}
	dest, err := docker.NewReference(name)
	if err != nil {
		return Pushed{}, err
	}
	t, err := s.newTransfer("")
	if err != nil {
		return Pushed{}, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	manifest, err := t.upload(ctx, dest, img, opts)
	if err != nil {
		return Pushed{}, registryError(err, reference.Domain(name))
	}
	if err := s.noteRepoDigest(img.ID, name, manifest); err != nil && !isMissing(err) { // it may have been removed meanwhile
		return Pushed{}, err
	}
	return Pushed{Name: name.String(), Tag: name.Tag(), Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}, nil
}

// pushName returns the name under which to push what ref found among an image's names.
func pushName(ref, to string, names []string) (reference.NamedTagged, error) {
	var name reference.Named
	var err error
	switch full, ok := nameAmong(ref, names); {
	case to != "":
		name, err = normalize(strings.TrimPrefix(to, "docker://"))
	case ok:
		name, err = normalize(full)
	default:
		err = fault.Errorf(errdefs.ErrInvalidArgument, "an id says no registry: push the image by a name, or say where to")
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
func (t *transfer) upload(ctx context.Context, dest types.ImageReference, img *Image, opts PushOptions) (uploaded []byte, err error) {
	src, err := istorage.Transport.NewStoreReference(t.store.lib, nil, img.ID)
	if err != nil {
		return nil, err
	}
	report := newReport(opts.Progress)
	var diffIDs []digest.Digest
	for _, layer := range img.Layers {
		diffIDs = append(diffIDs, layer.DiffID)
	}
	report.begin(dest.DockerReference().String(), diffIDs)
	sys := t.system(dest.DockerReference(), opts.RegistryOptions)
	err = opts.Retry.do(ctx, func() error {
		there, err := t.store.thereAlready(ctx, dest, sys, img.Layers)
		if err != nil {
			return err
		}
		report.other = map[digest.Digest]digest.Digest{}
		for diffID, form := range there {
			report.other[form.Digest] = diffID
		}
		uploaded, err = t.send(ctx, dest, knownReference{src, there}, sys, report)
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
	return uploaded, t.store.remember(img.Layers, layers)
}

// send has the library copy an image to a registry. The signature policy is about what comes into the store.
func (t *transfer) send(ctx context.Context, dest, src types.ImageReference, sys *types.SystemContext, report *report) (_ []byte, err error) {
	policy, err := signature.NewPolicyContext(acceptAll())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, policy.Destroy()) }()
	options := &imagecopy.Options{SourceCtx: t.sys, DestinationCtx: sys, RemoveSignatures: true}
	defer report.follow(options, map[types.ProgressEvent]LayerState{
		types.ProgressEventSkipped:     LayerExists,
		types.ProgressEventNewArtifact: LayerTransfer,
		types.ProgressEventRead:        LayerTransfer,
		types.ProgressEventDone:        LayerDone,
	})()
	return imagecopy.Image(ctx, policy, dest, src, options)
}

// TagsHere returns the full names of all images in the store that are in a repository and have a tag, sorted.
func (s *Store) TagsHere(repository string) ([]string, error) {
	name, err := repositoryName(repository)
	if err != nil {
		return nil, err
	}
	images, err := s.lib.Images()
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
		return nil, notFoundAmong(repository, images)
	}
	slices.Sort(names)
	return names, nil
}
