package unionmount

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"golang.org/x/sys/unix"
)

// Error is a failure of a backing file: the operation, the layer, the path within it and the cause, which is an errno
// if a system call failed. Conditions that are part of a filesystem's semantics (ENOENT of a name that does not
// exist, ENOTEMPTY, ...) are returned as bare errnos.
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

// fault wraps err, unless it is nil or was already wrapped nearer to the cause.
func fault(op string, l *layer.Layer, path string, err error) error {
	if err == nil || isFault(err) {
		return err
	}
	return &Error{Op: op, Layer: l.Dir, Path: shorten(path), Err: err}
}

// fault wraps err like the function fault, for the backing file of n that shows.
func (n *Node) fault(op string, err error) error {
	if err == nil || isFault(err) {
		return err
	}
	return &Error{Op: op, Layer: n.topLayer().Dir, Path: shorten(n.path()), Err: err}
}

// mostOfPath bounds the bytes of a path in a message, because a container decides how long paths become.
const mostOfPath = 512

// shorten returns path, or only its end if it is too long for a message.
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
