package unionmount

import (
	"errors"
	"fmt"
	"strings"

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
	return &Error{Op: op, Layer: l.dir, Path: shorten(path), Err: err}
}

// fault wraps err as fault does, for the backing file of n that shows.
func (n *Node) fault(op string, err error) error {
	if err == nil || isFault(err) {
		return err
	}
	return &Error{Op: op, Layer: n.topLayer().dir, Path: shorten(n.path()), Err: err}
}

// mostOfPath is how many bytes of a path are in a message: how long paths become is for a container to decide.
const mostOfPath = 512

// shorten returns the end of a path that is too long for a message.
func shorten(path string) string {
	if len(path) <= mostOfPath {
		return path
	}
	end := path[len(path)-mostOfPath:]
	if i := strings.IndexByte(end, '/'); i > 0 {
		end = end[i:]
	}
	return "..." + end
}

func isFault(err error) bool {
	var known *Error
	return errors.As(err, &known)
}

func isNotExist(err error) bool { return errors.Is(err, unix.ENOENT) }
