package layers

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
)

// The errors of this package have the classes of errdefs: not found, conflict, invalid argument, and so on. What a
// caller may want to tell apart beyond that has a type of its own.

// PlatformError says that an image is in the store or the registry, but for another platform than the caller wants. Its
// class is errdefs.ErrNotFound.
type PlatformError struct {
	Ref    string // as the caller calls the image
	Is     string // OS/ARCH[/VARIANT]
	Wanted string // OS/ARCH[/VARIANT]
}

func (e *PlatformError) Error() string {
	return fmt.Sprintf("image with reference %s was found but its platform (%s) does not match the specified platform (%s)",
		e.Ref, e.Is, e.Wanted)
}

func (e *PlatformError) Unwrap() error { return errdefs.ErrNotFound }

// ambiguous is the error of an abbreviated id that several objects of a kind have.
func ambiguous(kind, ref string, candidates []string) error {
	return fault.Errorf(errdefs.ErrInvalidArgument, "%s id %q is ambiguous, it may be %s", kind, ref,
		strings.Join(candidates, " or "))
}

// invalidf is the error of an argument that a call cannot work with.
func invalidf(format string, args ...any) error {
	return fault.Errorf(errdefs.ErrInvalidArgument, format, args...)
}
