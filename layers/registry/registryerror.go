package registry

import (
	"errors"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/docker/distribution/registry/api/errcode"
	v2 "github.com/docker/distribution/registry/api/v2"
	"go.podman.io/image/v5/docker"

	"github.com/rcrun/rcrun/internal/fault"
)

// registryError gives an error of a call to a registry its class, and a sentence of its own if the registry cannot be
// reached. domain is the registry's in the image's name. An error that has a class keeps it.
func registryError(err error, domain string) error {
	err = unreachable(err, domain)
	if err == nil || fault.Class(err) != nil {
		return err
	}
	if class := registryClass(err); class != nil {
		return fault.As(class, err)
	}
	return err
}

// registryClass returns the class of a registry's answer, nil if the answer tells none.
func registryClass(err error) error {
	var code errcode.ErrorCoder
	var refused docker.ErrUnauthorizedForCredentials
	var status docker.UnexpectedHTTPStatusError
	switch {
	case errors.As(err, &refused):
		return errdefs.ErrUnauthenticated
	case errors.As(err, &code):
		return codeClass(code.ErrorCode())
	case errors.Is(err, docker.ErrTooManyRequests):
		return errdefs.ErrUnavailable
	case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		return errdefs.ErrNotFound
	case isTransient(err):
		return errdefs.ErrUnavailable
	}
	return nil
}

func codeClass(code errcode.ErrorCode) error {
	switch code {
	case v2.ErrorCodeManifestUnknown, v2.ErrorCodeNameUnknown, v2.ErrorCodeBlobUnknown:
		return errdefs.ErrNotFound
	case errcode.ErrorCodeUnauthorized:
		return errdefs.ErrUnauthenticated
	case errcode.ErrorCodeDenied:
		return errdefs.ErrPermissionDenied
	case errcode.ErrorCodeTooManyRequests, errcode.ErrorCodeUnavailable:
		return errdefs.ErrUnavailable
	case errcode.ErrorCodeUnsupported:
		return errdefs.ErrNotImplemented
	}
	return nil
}
