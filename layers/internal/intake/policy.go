package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/tarball"
	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/internal/fault"
)

// newPolicy reads from policy.json, where podman would find it, which images to trust. Without that file all are
// accepted.
func newPolicy(sys *types.SystemContext) (*signature.PolicyContext, error) {
	policy, err := signature.DefaultPolicy(sys)
	if errors.Is(err, fs.ErrNotExist) {
		policy, err = AcceptAll(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read signature policy: %w", err)
	}
	return signature.NewPolicyContext(policy)
}

// AcceptAll returns a policy that allows all images.
func AcceptAll() *signature.Policy {
	return &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
}

// Allow asks a signature policy whether an image may come in.
func Allow(ctx context.Context, policy *signature.PolicyContext, img *image.UnparsedImage) error {
	allowed, err := policy.IsRunningImageAllowed(ctx, img)
	if allowed && err == nil {
		return nil
	}
	err = fmt.Errorf("signature policy: %w", cmp.Or(err, errors.New("the image is rejected")))
	if requirement := (signature.PolicyRequirementError("")); errors.As(err, &requirement) {
		err = fault.As(errdefs.ErrPermissionDenied, err)
	}
	return err
}

// AllowTar asks the signature policy whether a tar may be imported. For the policy it is an image without signatures,
// of the transport "tarball", as for podman.
func AllowTar(ctx context.Context) (err error) {
	policy, err := newPolicy(&types.SystemContext{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, policy.Destroy()) }()
	ref, err := tarball.NewReference([]string{"-"}, nil)
	if err != nil {
		return err
	}
	return Allow(ctx, policy, image.UnparsedInstance(tarSource{ref: ref}, nil))
}

// tarSource is a tar as the signature policy sees it.
type tarSource struct {
	types.ImageSource
	ref types.ImageReference
}

// Reference says what is imported.
func (s tarSource) Reference() types.ImageReference { return s.ref }

// GetManifest fails: a tar has none.
func (s tarSource) GetManifest(context.Context, *digest.Digest) ([]byte, string, error) {
	return nil, "", errors.New("a tar has no manifest that could be signed")
}

// GetSignatures returns none.
func (s tarSource) GetSignatures(context.Context, *digest.Digest) ([][]byte, error) { return nil, nil }
