package imagename

import (
	"cmp"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/internal/fault"
)

// The words that may stand alone for a platform. Any other single word is a mistake.
var (
	knownSystems = []string{"aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux",
		"netbsd", "openbsd", "plan9",
		"solaris", "wasip1", "windows", "zos"}
	knownArchitectures = []string{"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle",
		"ppc64", "ppc64le", "riscv64",
		"s390x", "wasm"}
)

// otherArchitectures are other names of architectures that people use, with the names that images use.
var otherArchitectures = map[string]string{"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386",
	"i686": "386", "armhf": "arm"}

var platformWord = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// ParsePlatform reads "os/arch[/variant]", "os" or "arch"; the missing parts are the host's. For "" it returns "" three
// times, for which the library takes the host's platform. The error has the class errdefs.ErrInvalidArgument.
func ParsePlatform(platform string) (system, arch, variant string, err error) {
	if platform == "" {
		return "", "", "", nil
	}
	parts := strings.Split(strings.ToLower(platform), "/")
	if len(parts) > 3 || slices.ContainsFunc(parts, func(part string) bool { return !platformWord.MatchString(part) }) {
		return "", "", "", fault.Errorf(errdefs.ErrInvalidArgument,
			"platform %q: want OS/ARCH[/VARIANT], for instance linux/arm64", platform)
	}
	for i, part := range parts {
		parts[i] = cmp.Or(otherArchitectures[part], part)
	}
	switch {
	case len(parts) > 1:
		parts = append(parts, "")
	case slices.Contains(knownSystems, parts[0]):
		parts = []string{parts[0], runtime.GOARCH, ""}
	case slices.Contains(knownArchitectures, parts[0]):
		parts = []string{runtime.GOOS, parts[0], ""}
	default:
		return "", "", "", fault.Errorf(errdefs.ErrInvalidArgument,
			"platform %q: neither an operating system nor an architecture that is known; want OS/ARCH[/VARIANT], "+
				"for instance linux/arm64", platform)
	}
	if parts[1] == "arm64" && parts[2] == "v8" {
		parts[2] = "" // every arm64 is a v8
	}
	return parts[0], parts[1], parts[2], nil
}

// CheckPlatform tells what is wrong with a platform as users write it, nil if nothing is.
func CheckPlatform(platform string) error {
	_, _, _, err := ParsePlatform(platform)
	return err
}

// Fits tells why an image of a platform is not for the one that the caller wants. An image that does not say its
// platform fits any.
func Fits(sys *types.SystemContext, is v1.Platform, ref string) error {
	if is.OS == "" || is.Architecture == "" {
		return nil
	}
	one := v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: digest.FromString(""), Platform: &is}
	if _, err := manifest.OCI1IndexFromComponents([]v1.Descriptor{one}, nil).ChooseInstance(sys); err == nil {
		return nil
	}
	return &PlatformError{Ref: ref, Is: platformText(is), Wanted: WantedPlatform(sys)}
}

// WantedPlatform returns the platform that the caller wants, as people write it.
func WantedPlatform(sys *types.SystemContext) string {
	return platformText(v1.Platform{OS: cmp.Or(sys.OSChoice, runtime.GOOS),
		Architecture: cmp.Or(sys.ArchitectureChoice, runtime.GOARCH),
		Variant:      sys.VariantChoice})
}

func platformText(p v1.Platform) string {
	text := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return text
}

// PlatformError says that an image is in the store or the registry, but for another platform than the caller wants. Its
// class is errdefs.ErrNotFound.
type PlatformError struct {
	Ref    string // as the caller calls the image
	Is     string // OS/ARCH[/VARIANT]
	Wanted string // OS/ARCH[/VARIANT]
}

func (e *PlatformError) Error() string {
	return fmt.Sprintf("image with reference %s was found but its platform (%s) does not match the specified "+
		"platform (%s)",
		e.Ref, e.Is, e.Wanted)
}

func (e *PlatformError) Unwrap() error { return errdefs.ErrNotFound }
