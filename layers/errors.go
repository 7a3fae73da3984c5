package layers

import (
	"errors"
	"fmt"
	"strings"
)

// What a caller may want to tell apart. The errors returned wrap these and name what they are about.
var (
	// ErrNotFound: there is no such image or container.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous: an abbreviated id fits several images.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrInUse: a container needs the image.
	ErrInUse = errors.New("in use")
	// ErrPlatform: the image is there, and is for another platform than is wanted.
	ErrPlatform = errors.New("other platform")
	// ErrConflict: the name is taken, or the image has other names.
	ErrConflict = errors.New("conflict")
)

// storeError is an error with a sentence of its own that is also one of the above.
type storeError struct {
	kind error
	text string
}

func (e *storeError) Error() string { return e.text }
func (e *storeError) Unwrap() error { return e.kind }

func ambiguous(ref string, candidates []string) error {
	return &storeError{ErrAmbiguous, fmt.Sprintf("image id %q is ambiguous, it may be %s", ref, strings.Join(candidates, " or "))}
}
