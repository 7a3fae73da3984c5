package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"
)

// PullOptions is how to pull an image.
type PullOptions struct {
	// Progress takes messages for people; a terminal gets a bar per layer. nil is quiet.
	Progress io.Writer
	// Platform is "os/arch[/variant]" of the image to take from several; "" is the host's.
	Platform string
	// AuthFile keeps registry credentials; "" is where podman and docker keep them.
	AuthFile string
	// TLSVerify says whether a registry needs a certificate that this host trusts; nil is yes, except for a registry
	// on the loopback interface, which may speak plain HTTP.
	TLSVerify *bool
}

// Pull copies an image from a registry into the store. Its name then means this image; another image that had the name
// before stays, without it.
func (s *Store) Pull(ctx context.Context, ref string, opts PullOptions) (Image, error) {
	img, err := s.pull(ctx, ref, opts)
	if err != nil {
		return Image{}, fmt.Errorf("pull %s: %w", ref, err)
	}
	return *img, nil
}

func (s *Store) pull(ctx context.Context, ref string, opts PullOptions) (_ *Image, err error) {
	name, err := pullName(ref)
	if err != nil {
		return nil, err
	}
	src, err := docker.NewReference(name)
	if err != nil {
		return nil, err
	}
	t, err := s.newTransfer(opts.Progress, opts.Platform)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	t.sys.AuthFilePath = opts.AuthFile
	t.sys.DockerInsecureSkipTLSVerify = insecure(name, opts.TLSVerify)
	id, err := t.copy(ctx, src, name)
	if err != nil {
		return nil, err
	}
	return s.Image(id)
}

// pullName normalizes the name of an image to pull. With a digest the tag says nothing, and registries take one only.
func pullName(ref string) (reference.Named, error) {
	name, err := normalize(ref)
	if err != nil {
		return nil, err
	}
	if digested, ok := name.(reference.Canonical); ok {
		return reference.WithDigest(reference.TrimNamed(name), digested.Digest())
	}
	return name, nil
}

// insecure tells whether to do without a trusted certificate.
func insecure(name reference.Named, verify *bool) types.OptionalBool {
	if verify != nil {
		return types.NewOptionalBool(!*verify)
	}
	if isLoopback(reference.Domain(name)) {
		return types.OptionalBoolTrue
	}
	return types.OptionalBoolUndefined
}

// isLoopback tells whether a registry's host[:port] is this machine.
func isLoopback(domain string) bool {
	host, _, err := net.SplitHostPort(domain)
	if err != nil {
		host = domain
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
