package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/rcrun/rcrun/internal/fault"
)

// Error is a failure in another process, in the form in which it is sent to the user.
type Error struct {
	Stage string        `json:"stage"`           // the process: "sandbox", "init", "exec", "fuse server", ...
	Op    string        `json:"op"`              // what it was doing, as a verb phrase: "mount proc"
	Path  string        `json:"path,omitempty"`  // what the operation was done to
	Errno syscall.Errno `json:"errno,omitempty"` // the cause, where it was a system call's
	Text  string        `json:"text,omitempty"`  // the cause in words, where it was not
	Class string        `json:"class,omitempty"` // the class of the error by its name in package fault

	// Whole tells that Text is the whole message, and that the fields above describe only its cause.
	Whole bool `json:"whole,omitempty"`
	// Code is the exit code of a command that ends with this error; with 0 the command chooses.
	Code int `json:"code,omitempty"`
}

func (e *Error) Error() string {
	if e.Whole {
		return e.Text
	}
	text := e.Stage + ": " + e.Op
	if e.Path != "" {
		text += " " + e.Path
	}
	if e.Text != "" {
		return text + ": " + e.Text
	}
	if e.Errno != 0 {
		return text + ": " + e.Errno.Error()
	}
	return text
}

// Unwrap lets errors.Is compare with the errno and with the class.
func (e *Error) Unwrap() []error {
	var causes []error
	if class := fault.Named(e.Class); class != nil {
		causes = append(causes, class)
	}
	if e.Errno != 0 {
		causes = append(causes, e.Errno)
	}
	return causes
}

// Errorf describes err, which stage met while it did op to path. It returns an *Error in err as it is, because that
// tells of the cause itself.
func Errorf(stage, op, path string, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := &Error{Stage: stage, Op: op, Path: path, Class: fault.Name(err)}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Errno = errno
	}
	var pathErr *fs.PathError
	var sysErr *os.SyscallError
	switch {
	case err == error(errno), errors.As(err, &sysErr), errors.As(err, &pathErr) && pathErr.Path == path:
		// The errno is the whole cause.
	default:
		e.Text = err.Error()
	}
	return e
}

// Report describes err with its whole text, for a command that prints it and ends with the exit code. It keeps what an
// *Error in err tells of the cause.
func Report(stage string, err error, code int) *Error {
	e := *Errorf(stage, "", "", err)
	e.Text, e.Whole, e.Code, e.Class = err.Error(), true, code, fault.Name(err)
	return &e
}

// SendError sends err as the last message of a stage that failed.
func (c *Conn) SendError(stage string, err error) error {
	return c.Send(kindError, Errorf(stage, "run", "", err))
}

// SendReport sends err as the answer to a command, in the form of Report.
func (c *Conn) SendReport(stage string, err error, code int) error {
	return c.Send(kindError, Report(stage, err, code))
}

// decodeError decodes an error message. A message without an operation has only a whole text, as in the first version
// of the protocol.
func decodeError(body json.RawMessage) error {
	e := &Error{}
	if err := json.Unmarshal(body, e); err != nil {
		return fmt.Errorf("decode error message: %w", err)
	}
	e.Whole = e.Whole || e.Op == ""
	return e
}
