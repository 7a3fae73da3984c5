// Package fault gives errors a class, by which a caller may tell them apart without reading their text.
//
// The classes are those of github.com/containerd/errdefs: programs that speak Docker's and containerd's interfaces know
// them, and one place turns each into an exit code or an HTTP status. A class is tested with errdefs.IsNotFound and its
// siblings, or with errors.Is. The text of an error does not name its class: a message is for people.
//
// A class crosses processes by its name (Name, Named): an error of a monitor has the same class in the command that
// asked.
package fault

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// fault is an error with a text of its own that has a class and may wrap a cause.
type fault struct {
	class error
	cause error // has the text
}

func (f *fault) Error() string   { return f.cause.Error() }
func (f *fault) Unwrap() []error { return []error{f.cause, f.class} }

// Errorf returns an error of the class (errdefs.ErrNotFound, ...) with a text as fmt.Errorf makes it, %w included.
func Errorf(class error, format string, args ...any) error {
	return &fault{class: class, cause: fmt.Errorf(format, args...)}
}

// As gives err, which must not be nil, a class. The class that an error was given last counts before those that it
// wraps.
func As(class, err error) error { return &fault{class: class, cause: err} }

// names are the classes by the names under which they cross processes.
var names = map[string]error{
	"not-found":           errdefs.ErrNotFound,
	"conflict":            errdefs.ErrConflict,
	"already-exists":      errdefs.ErrAlreadyExists,
	"invalid-parameter":   errdefs.ErrInvalidArgument,
	"not-modified":        errdefs.ErrNotModified,
	"forbidden":           errdefs.ErrPermissionDenied,
	"unauthorized":        errdefs.ErrUnauthenticated,
	"unavailable":         errdefs.ErrUnavailable,
	"not-implemented":     errdefs.ErrNotImplemented,
	"data-loss":           errdefs.ErrDataLoss,
	"failed-precondition": errdefs.ErrFailedPrecondition,
	"resource-exhausted":  errdefs.ErrResourceExhausted,
	"internal":            errdefs.ErrInternal,
}

// Name returns the name of the class of err, or "" if it has none.
func Name(err error) string {
	class := Class(err)
	for name, named := range names {
		if class == named {
			return name
		}
	}
	return ""
}

// Named returns the class with that name, or nil: an error of a class that this program does not know has none.
func Named(name string) error { return names[name] }

// Class returns the class of err, or nil if it has none. Of the classes in a chain of errors the outermost counts.
func Class(err error) error {
	for err != nil {
		if f, ok := err.(*fault); ok {
			return f.class
		}
		for _, class := range names {
			if err == class {
				return class
			}
		}
		switch wrapped := err.(type) {
		case interface{ Unwrap() error }:
			err = wrapped.Unwrap()
		case interface{ Unwrap() []error }:
			return classOfAny(wrapped.Unwrap())
		default:
			return nil
		}
	}
	return nil
}

// classOfAny returns the class of the first error that has one.
func classOfAny(errs []error) error {
	for _, err := range errs {
		if class := Class(err); class != nil {
			return class
		}
	}
	return nil
}
