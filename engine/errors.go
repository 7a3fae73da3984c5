package engine

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/runtime"
)

// CodeEngine is the exit code of a command of which rcrun itself could not do what was asked.
const CodeEngine = 125

// ExitCode returns the exit code of a command that ends with err: that of a container's command which could not be
// executed (126 or 127), whether this process or the monitor found out, and otherwise CodeEngine. nil is 0.
func ExitCode(err error) int {
	var exec *runtime.ExecError
	var answer *wire.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exec):
		return exec.Code
	case errors.As(err, &answer) && answer.Code != 0:
		return answer.Code
	}
	return CodeEngine
}

// tell sends a command the error with which its request ends. A command that has gone away does not want to know.
func tell(conn *wire.Conn, err error) {
	err = ExplainLimit(err)
	conn.SendReport("monitor", err, ExitCode(err))
}

// isAnswer tells whether an error is what the monitor answered, and not one of asking.
func isAnswer(err error) bool {
	var answer *wire.Error
	return errors.As(err, &answer)
}

func conflictf(format string, args ...any) error {
	return fault.Errorf(errdefs.ErrConflict, format, args...)
}

func invalidf(format string, args ...any) error {
	return fault.Errorf(errdefs.ErrInvalidArgument, format, args...)
}

// noContainer is the error of a name or id that no container has.
func noContainer(ref string) error {
	return fault.Errorf(errdefs.ErrNotFound, "no such container: %s", ref)
}

// invalid gives an error, unless it is nil, the class of those of what the caller asked for.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return fault.As(errdefs.ErrInvalidArgument, err)
}

// DamagedError is the error of a container that cannot be removed without force, because its record cannot be read.
type DamagedError struct{ Err error }

func (e *DamagedError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *DamagedError) Unwrap() error { return e.Err }

// RunDirError is the error of a running container that can only be removed by force, because nothing connects to its
// monitor.
type RunDirError struct{ Container, Dir string }

func (e *RunDirError) Error() string {
	return fmt.Sprintf("connect to the monitor of %s: the run directory %s was removed, as it may be at the end of a "+
		"login session", e.Container, e.Dir)
}

// Unwrap returns the class.
func (e *RunDirError) Unwrap() error { return errdefs.ErrUnavailable }
