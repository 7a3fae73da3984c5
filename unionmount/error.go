package unionmount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Error is a failure of a backing file: what was being done, in which layer, to which path within it. Err holds the
// cause, an errno where it was a system call's. Conditions that are part of a filesystem's semantics (ENOENT of a
// name that does not exist, ENOTEMPTY, ...) are returned as bare errnos.
type Error struct {
	Op    string
	Layer string
	Path  string
	Err   error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s in %s: %v", e.Op, e.Path, e.Layer, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// fault wraps err, unless it is nil or was wrapped nearer to the cause.
func fault(op string, l *layer, path string, err error) error {
	if err == nil || isFault(err) {
		return err
	}
	return &Error{Op: op, Layer: l.dir, Path: path, Err: err}
}

// fault wraps err as fault does, for the backing file of n that shows.
func (n *Node) fault(op string, err error) error {
	if err == nil || isFault(err) {
		return err
	}
	return &Error{Op: op, Layer: n.topLayer().dir, Path: n.path(), Err: err}
}

func isFault(err error) bool {
	var known *Error
	return errors.As(err, &known)
}

func isNotExist(err error) bool { return errors.Is(err, unix.ENOENT) }
