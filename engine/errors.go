package engine

import (
	"errors"
	"fmt"
)

// The classes of errors that a caller may want to tell apart with errors.Is. Their texts are not part of the messages.
var (
	// ErrConflict: a name is taken, or the container is in a state that forbids the request.
	ErrConflict = errors.New("conflict")
	// ErrNoContainer: there is no such container.
	ErrNoContainer = errors.New("no such container")
)

type classified struct {
	class error
	text  string
}

func (e *classified) Error() string { return e.text }
func (e *classified) Unwrap() error { return e.class }

func conflictf(format string, args ...any) error {
	return &classified{ErrConflict, fmt.Sprintf(format, args...)}
}

// Exit codes of a command that could not do what it was asked to, as Docker's users know them.
const (
	CodeEngine      = 125 // rcrun failed
	CodeNotRunnable = 126 // the command was found, and cannot be executed
	CodeNotFound    = 127 // the command was not found
)

// Failure is an error that ends a command with a particular exit code.
type Failure struct {
	Code int
	text string
}

func (f *Failure) Error() string { return f.text }
