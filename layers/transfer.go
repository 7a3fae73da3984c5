package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	imagecopy "go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/signature"
	istorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
)

// transfer brings images into the store. It has a scratch directory of its own, removed by close.
type transfer struct {
	store    *Store
	scratch  *scratch
	policy   *signature.PolicyContext
	sys      *types.SystemContext
	progress io.Writer // nil for none
}

// newTransfer prepares a transfer. Its files are kept inside the store, so that moving them is a rename and a disk that
// fills up is the one that the user has been told of.
func (s *Store) newTransfer(progress io.Writer, platform string) (_ *transfer, err error) {
	system, arch, variant, err := parsePlatform(platform)
	if err != nil {
		return nil, err
	}
	place, err := newScratch(s.tempRoot())
	if err != nil {
		return nil, err
	}
	t := &transfer{store: s, scratch: place, progress: progress}
	t.sys = &types.SystemContext{
		BigFilesTemporaryDir:    place.Path,
		BlobInfoCacheDir:        filepath.Join(s.root, "cache"),
		OSChoice:                system,
		ArchitectureChoice:      arch,
		VariantChoice:           variant,
		DockerRegistryUserAgent: "rcrun",
	}
	if t.policy, err = newPolicy(t.sys); err != nil {
		return nil, errors.Join(err, place.Close())
	}
	return t, nil
}

func (t *transfer) close() error { return errors.Join(t.policy.Destroy(), t.scratch.Close()) }

// newPolicy reads which images to trust from policy.json where podman would find it; without one all are accepted.
func newPolicy(sys *types.SystemContext) (*signature.PolicyContext, error) {
	policy, err := signature.DefaultPolicy(sys)
	if errors.Is(err, fs.ErrNotExist) {
		accept := signature.NewPRInsecureAcceptAnything()
		policy, err = &signature.Policy{Default: signature.PolicyRequirements{accept}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read signature policy: %w", err)
	}
	return signature.NewPolicyContext(policy)
}

// parsePlatform splits "os/arch[/variant]"; "" leaves the choice to the library, which takes the host's.
func parsePlatform(platform string) (system, arch, variant string, err error) {
	if platform == "" {
		return "", "", "", nil
	}
	parts := strings.Split(platform, "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return "", "", "", fmt.Errorf("platform %q: want OS/ARCH[/VARIANT], for instance linux/arm64", platform)
	}
	parts = append(parts, "")
	return parts[0], parts[1], parts[2], nil
}

// copy copies one image into the store under the given name, or under its id alone if name is nil, and returns the id.
func (t *transfer) copy(ctx context.Context, src types.ImageReference, name reference.Named) (id string, err error) {
	if name == nil {
		if id, err = t.idOf(ctx, src); err != nil {
			return "", err
		}
	}
	dest, err := istorage.Transport.NewStoreReference(t.store.lib, name, id)
	if err != nil {
		return "", err
	}
	var resolved types.ImageReference
	_, err = imagecopy.Image(ctx, t.policy, dest, src, &imagecopy.Options{
		ReportWriter:            progressWriter(t.progress),
		SourceCtx:               t.sys,
		DestinationCtx:          t.sys,
		ReportResolvedReference: &resolved,
	})
	if err != nil {
		return "", err
	}
	_, record, err := istorage.ResolveReference(resolved)
	if err != nil {
		return "", err
	}
	return record.ID, nil
}

// idOf returns the id that an image will have: the digest of its configuration.
func (t *transfer) idOf(ctx context.Context, src types.ImageReference) (id string, err error) {
	img, err := src.NewImage(ctx, t.sys)
	if err != nil {
		return "", err
	}
	id = img.ConfigInfo().Digest.Encoded()
	return id, img.Close()
}
