package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/types"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/own"
)

// Credentials are what a user shows to a registry.
type Credentials struct{ Username, Password string }

// KnownCredentials returns the credentials for a registry that any program has kept; none if there are none.
func KnownCredentials(ctx context.Context, registry string, opts Options) (Credentials, error) {
	registry, sys, err := loginSystem(ctx, registry, opts)
	if err != nil {
		return Credentials{}, err
	}
	known, err := config.GetCredentials(sys, registry)
	if err != nil {
		return Credentials{}, fmt.Errorf("look up credentials for %s: %w", registry, err)
	}
	return Credentials{Username: known.Username, Password: known.Password}, nil
}

// Login shows credentials to a registry (HOST[:PORT][/REPOSITORY]). If the registry accepts them, it keeps them where
// podman looks for them, too: in a file or with a credential helper. If the registry does not accept them, the error
// has the class errdefs.ErrUnauthenticated.
func Login(ctx context.Context, registry string, with Credentials, opts Options) error {
	registry, sys, err := loginSystem(ctx, registry, opts)
	if err != nil {
		return err
	}
	err = opts.Retry.do(ctx, func() error {
		return docker.CheckAuth(ctx, sys, with.Username, with.Password, host(registry))
	})
	if refused := (docker.ErrUnauthorizedForCredentials{}); errors.As(err, &refused) {
		err = fault.Errorf(errdefs.ErrUnauthenticated, "the registry does not accept the user name and password")
	}
	if err == nil {
		_, err = config.SetCredentials(sys, registry, with.Username, with.Password)
	}
	if err != nil {
		return fmt.Errorf("log in to %s: %w", registry, registryError(err, host(registry)))
	}
	return nil
}

// Logout forgets the credentials for a registry.
func Logout(ctx context.Context, registry string, opts Options) error {
	registry, sys, err := loginSystem(ctx, registry, opts)
	if err != nil {
		return err
	}
	err = config.RemoveAuthentication(sys, registry)
	if errors.Is(err, config.ErrNotLoggedIn) {
		if known, _ := config.GetCredentials(sys, registry); known.Username != "" {
			err = fault.Errorf(errdefs.ErrFailedPrecondition,
				"the credentials were kept by another program: log out with that, docker for instance")
		}
	}
	if err != nil {
		return fmt.Errorf("log out of %s: %w", registry, err)
	}
	return nil
}

// LogoutAll forgets the credentials for all registries.
func LogoutAll(ctx context.Context, opts Options) error {
	_, sys, err := loginSystem(ctx, "docker.io", opts)
	if err == nil {
		err = config.RemoveAllAuthentication(sys)
	}
	if err != nil {
		return fmt.Errorf("log out of all registries: %w", err)
	}
	return nil
}

// loginSystem returns a registry's name in the form that keeps credentials, and the settings for it.
func loginSystem(ctx context.Context, registry string, opts Options) (string, *types.SystemContext, error) {
	if ctx.Err() != nil {
		return "", nil, context.Cause(ctx)
	}
	_, plain, ok := strings.Cut(registry, "://")
	if !ok {
		plain = registry
	}
	plain = strings.TrimSuffix(plain, "/")
	if plain == "" {
		return "", nil, fault.Errorf(errdefs.ErrInvalidArgument, "registry %q: want HOST[:PORT]", registry)
	}
	sys := &types.SystemContext{}
	opts.apply(sys, host(plain))
	if sys.DockerCompatAuthFilePath != "" {
		return plain, sys, nil
	}
	file, err := loginFile(sys.AuthFilePath)
	sys.AuthFilePath = file
	return plain, sys, err
}

// host returns the HOST[:PORT] in a name that credentials are kept for.
func host(registry string) string {
	name, _, _ := strings.Cut(registry, "/")
	return name
}

// loginFile returns the file that keeps credentials: the chosen one, else "" for the library's file, which is in the
// directory of the user's session. On a host without such a directory the library would take a file that only root can
// make. Then it is the file in the user's configuration, which the library and podman read, too.
func loginFile(chosen string) (string, error) {
	if chosen != "" {
		return chosen, nil
	}
	if session := os.Getenv("XDG_RUNTIME_DIR"); session != "" {
		if err := own.CheckDir(session); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", &SessionDirError{err}
		}
		return "", nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find where to keep credentials: %w", err)
	}
	return filepath.Join(cmp.Or(os.Getenv("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "containers",
		"auth.json"), nil
}

// SessionDirError says that credentials cannot be kept in the directory that XDG_RUNTIME_DIR names. Another value of
// that variable helps, and so does Options.AuthFile. Its class is errdefs.ErrFailedPrecondition.
type SessionDirError struct{ cause error }

func (e *SessionDirError) Error() string {
	return fmt.Sprintf("find where to keep credentials: XDG_RUNTIME_DIR: %v", e.cause)
}

func (e *SessionDirError) Unwrap() []error { return []error{e.cause, errdefs.ErrFailedPrecondition} }
