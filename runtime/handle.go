package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
)

// ErrExited is what requests to a container, or to a process in it, get after its end.
var ErrExited = fault.Errorf(errdefs.ErrConflict, "the container has exited")

// handle is the creator's hold of a process in a container.
type handle struct {
	Pid     int      // as the creator sees it
	pidfd   *os.File // survives the reuse of the number
	console *os.File // master of its terminal, or nil
	args    []string

	ended  chan struct{} // closed when status is set
	status ExitStatus
	err    error
}

// Console is the master of the process's terminal, nil if it has none. It stays the process's own.
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

// Wait waits for the end of the process, or of ctx. It may be called any number of times.
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

// Signal sends a signal from the host. As everywhere, the first process of a pid namespace ignores signals that it
// has no handler for, but SIGKILL and SIGSTOP.
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

// sendSignal sends a signal to the process of a pidfd. Its number may be another file's as soon as it is closed, so it
// is only used while the file is known to be open.
func sendSignal(pidfd *os.File, sig syscall.Signal) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	return cmp.Or(controlErr, err)
}

// end makes the status known.
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
