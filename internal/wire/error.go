package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Error is a failure in one of a container's processes, in the form in which it travels to the user.
type Error struct {
	Stage string        `json:"stage"`           // the process: "sandbox", "init", "exec", "fuse server", ...
	Op    string        `json:"op"`              // what it was doing, as a verb phrase: "mount proc"
	Path  string        `json:"path,omitempty"`  // what it was doing it to
	Errno syscall.Errno `json:"errno,omitempty"` // the cause, where it was a system call's
	Text  string        `json:"text,omitempty"`  // the cause in words, where it was not
}

func (e *Error) Error() string {
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

// Unwrap lets errors.Is compare with the errno.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// Errorf describes err, met by stage while doing op to path. An err that is an *Error already keeps its own story.
func Errorf(stage, op, path string, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := &Error{Stage: stage, Op: op, Path: path}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Errno = errno
	}
	var pathErr *fs.PathError
	var sysErr *os.SyscallError
	switch {
	case err == error(errno), errors.As(err, &sysErr), errors.As(err, &pathErr) && pathErr.Path == path:
		// The errno says it all.
	default:
		e.Text = err.Error()
	}
	return e
}

// SendError sends err as the last message of a stage that failed.
func (c *Conn) SendError(stage string, err error) error {
	return c.Send(kindError, Errorf(stage, "run", "", err))
}

func decodeError(body json.RawMessage) error {
	e := &Error{}
	if err := json.Unmarshal(body, e); err != nil {
		return fmt.Errorf("decode error message: %w", err)
	}
	return e
}
