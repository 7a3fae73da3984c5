package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
)

// ErrExited is the error of requests to a container, or to a process in it, after its end.
var ErrExited = fault.Errorf(errdefs.ErrConflict, "the container has exited")

// handle is what the creator holds of a process in a container.
type handle struct {
	Pid     int      // in the creator's pid namespace
	pidfd   *os.File // refers to the process even if the number is reused
	console *os.File // master of its terminal, or nil
	args    []string

	ended  chan struct{} // closed when status is set
	status ExitStatus
	err    error
}

// Console returns the master of the process's terminal, nil if it has none. The process keeps it and closes it.
func (p *handle) Console() *os.File { return p.console }

// Resize changes the size of the process's terminal.
func (p *handle) Resize(rows, cols uint16) error {
	if p.console == nil {
		return fault.Errorf(errdefs.ErrConflict, "resize terminal: the process has none")
	}
	raw, err := p.console.SyscallConn()
	if err != nil {
		return fmt.Errorf("resize terminal: %w", err)
	}
	var resizeErr error
	if err := raw.Control(func(fd uintptr) { resizeErr = resize(int(fd), rows, cols) }); err != nil {
		return fmt.Errorf("resize terminal: %w", err)
	}
	if resizeErr != nil {
		return fmt.Errorf("resize terminal: %w", resizeErr)
	}
	return nil
}

// Wait waits for the end of the process or of ctx. It may be called any number of times.
func (p *handle) Wait(ctx context.Context) (ExitStatus, error) {
	select {
	case <-p.ended:
		return p.status, p.err
	default:
	}
	select {
	case <-p.ended:
		return p.status, p.err
	case <-ctx.Done():
		return ExitStatus{}, fmt.Errorf("wait for process %d: %w", p.Pid, context.Cause(ctx))
	}
}

// Signal sends a signal from the host. The first process of a pid namespace ignores signals that it has no handler for,
// except SIGKILL and SIGSTOP.
func (p *handle) Signal(sig syscall.Signal) error {
	err := sendSignal(p.pidfd, sig)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrClosed) {
		return ErrExited
	}
	if err != nil {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), p.Pid, err)
	}
	return nil
}

// sendSignal sends a signal to the process of a pidfd. Once the file is closed, its descriptor may be another file's,
// so it is used only while the file is known to be open.
func sendSignal(pidfd *os.File, sig syscall.Signal) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	if raw.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), sig, nil, 0) }) != nil {
		return os.ErrClosed // the error that Control has for that is not this one
	}
	return err
}

// end records how the process ended.
func (p *handle) end(status ExitStatus, err error) {
	p.status, p.err = status, err
	close(p.ended)
}

// release closes the files of the process.
func (p *handle) release() {
	for _, f := range []*os.File{p.pidfd, p.console} {
		if f != nil {
			f.Close()
		}
	}
}
