package runtime

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// Exit codes for a command that could not be executed, as shells have them.
const (
	CodeCannotExecute = 126
	CodeNotFound      = 127
)

// ExecError tells why a command could not be executed.
type ExecError struct {
	Code int    // CodeCannotExecute or CodeNotFound
	Text string // as in: exec: "foo": executable file not found in $PATH
	Err  error  // the stage's own report
}

func (e *ExecError) Error() string { return e.Text }

// Unwrap gives the error the class of invalid parameters, because the caller chose the command.
func (e *ExecError) Unwrap() []error { return []error{e.Err, errdefs.ErrInvalidArgument} }

// execError turns the report of a stage that could not execute args, or not enter the working directory, into an
// *ExecError. It returns other errors as they are.
func execError(args []string, err error) error {
	var report *wire.Error
	if !errors.As(err, &report) {
		return err
	}
	if strings.HasPrefix(report.Op, opCwd) {
		return cwdError(report, err)
	}
	if report.Op != opExec {
		return err
	}
	name := report.Path
	explained := func(code int, words string) error {
		return &ExecError{code, fmt.Sprintf("exec: %q: %s", name, words), err}
	}
	switch {
	case len(args) == 0:
		return &ExecError{CodeCannotExecute, "exec: no command specified", err}
	case report.Errno == unix.ENOENT && !strings.Contains(name, "/"):
		return explained(CodeNotFound, "executable file not found in $PATH")
	case report.Errno == unix.ENOENT || report.Errno == unix.ENOTDIR:
		return explained(CodeNotFound, "no such file or directory")
	case report.Errno == unix.ENOEXEC:
		return explained(CodeCannotExecute,
			"exec format error (is the file a script without #!, or made for another architecture?)")
	default:
		return explained(CodeCannotExecute, report.Errno.Error())
	}
}

// cwdError makes an *ExecError for a working directory that cannot be entered, with Docker's exit codes for it.
func cwdError(report *wire.Error, err error) error {
	code := CodeCannotExecute
	if report.Errno == unix.ENOENT || report.Errno == unix.ENOTDIR {
		code = CodeNotFound
	}
	return &ExecError{code, err.Error(), err}
}
