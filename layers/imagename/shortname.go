package imagename

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/internal/fault"
)

// Candidates returns the images that a name to pull may mean, in the order in which a pull should try them. A name
// without a registry is resolved as podman does it, by the aliases and the search list of registries.conf. If the host
// has neither for it, Docker's rule holds: the name is one of docker.io. If the name has a digest, its tag is dropped,
// because registries take only one of them.
func Candidates(ref string) ([]reference.Named, error) {
	name, err := Parse(ref)
	if err != nil {
		return nil, err
	}
	names := []reference.Named{name}
	if isShort(ref) {
		if names, err = resolveShort(ref, name); err != nil {
			return nil, err
		}
	}
	for i, name := range names {
		if digested, ok := name.(reference.Canonical); ok {
			if names[i], err = reference.WithDigest(reference.TrimNamed(name), digested.Digest()); err != nil {
				return nil, err
			}
		}
	}
	return names, nil
}

// isShort tells whether a name lacks a registry.
func isShort(ref string) bool {
	domain, _, ok := strings.Cut(ref, "/")
	return !ok || !strings.ContainsAny(domain, ".:") && domain != "localhost"
}

// resolveShort returns what a short name stands for. byDefault is its meaning where nothing is configured.
func resolveShort(ref string, byDefault reference.Named) ([]reference.Named, error) {
	sys := &types.SystemContext{}
	repository, version := splitVersion(ref)
	alias, _, err := sysregistriesv2.ResolveShortNameAlias(sys, repository)
	if err != nil {
		return nil, fmt.Errorf("look up alias of %q: %w", repository, err)
	}
	if alias != nil {
		name, err := Parse(alias.Name() + version)
		return []reference.Named{name}, err
	}
	search, err := sysregistriesv2.UnqualifiedSearchRegistries(sys)
	if err != nil {
		return nil, fmt.Errorf("look up where to search %q: %w", repository, err)
	}
	if len(search) == 0 {
		return []reference.Named{byDefault}, nil
	}
	var names []reference.Named
	for _, registry := range search {
		name, err := Parse(registry + "/" + ref)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, checkUnique(sys, ref, names)
}

// checkUnique refuses a name that may mean several images, if the host's configuration forbids to guess.
func checkUnique(sys *types.SystemContext, ref string, names []reference.Named) error {
	mode, err := sysregistriesv2.GetShortNameMode(sys)
	if err != nil || mode != types.ShortNameModeEnforcing || len(names) == 1 {
		return err
	}
	var full []string
	for _, name := range names {
		full = append(full, name.String())
	}
	return fault.Errorf(errdefs.ErrInvalidArgument,
		"%q may be %s: give the full name (short-name-mode of registries.conf is enforcing)", ref,
		strings.Join(full, " or "))
}

// splitVersion splits a name without a registry into the repository and the tag or digest.
func splitVersion(ref string) (repository, version string) {
	if i := strings.IndexAny(ref, ":@"); i >= 0 {
		return ref[:i], ref[i:]
	}
	return ref, ""
}
