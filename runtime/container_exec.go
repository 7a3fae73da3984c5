package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// ExecConfig describes a further process of a container.
type ExecConfig struct {
	Process *specs.Process // complete: user, capabilities, environment, ...

	// Stdin, Stdout and Stderr are used without Process.Terminal; nil is /dev/null. The caller keeps its files.
	Stdin, Stdout, Stderr *os.File
}

// ExecProcess is a further process of a container.
type ExecProcess struct {
	handle
}

// Exec starts a further process in a running container. It fails with an *ExecError if the command cannot be executed.
// It waits for filesystems of the container, and a container may serve a filesystem that never answers: a process that
// has not been executed when ctx ends is killed.
func (c *Container) Exec(ctx context.Context, config ExecConfig) (*ExecProcess, error) {
	select {
	case <-c.ended:
		return nil, fmt.Errorf("exec: %w", ErrExited)
	default:
	}
	if err := validateExec(config.Process); err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	conn, err := c.requestExec(config)
	if err != nil {
		return nil, err
	}
	p := &ExecProcess{handle{args: config.Process.Args, ended: make(chan struct{})}}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = p.await(conn, config.Process.Terminal)
	if !stop() {
		p.release()
		return nil, fmt.Errorf("exec: %w", context.Cause(ctx))
	}
	if err != nil {
		conn.Close()
		p.release()
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.ESRCH) {
			err = fmt.Errorf("exec: %w", ErrExited)
		}
		return nil, execError(p.args, err)
	}
	go p.watch(conn)
	return p, nil
}

// requestExec asks the sandbox for a process. It returns the wire on which the sandbox reports on that process.
func (c *Container) requestExec(config ExecConfig) (*wire.Conn, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	defer null.Close()
	conn, theirs, err := wire.Pair()
	if err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	defer theirs.Close()
	err = c.sandbox.conn.Send(msgExec, execRequest{Process: config.Process}, theirs,
		orNull(config.Stdin, null), orNull(config.Stdout, null), orNull(config.Stderr, null))
	if err != nil {
		conn.Close()
		if errors.Is(err, unix.EPIPE) {
			err = ErrExited
		}
		return nil, fmt.Errorf("exec: %w", err)
	}
	return conn, nil
}

// await receives the terminal, if the process has one, and the process.
func (p *ExecProcess) await(conn *wire.Conn, terminal bool) error {
	if terminal {
		files, err := conn.Expect(msgConsole, nil, 1)
		if err != nil {
			return err
		}
		p.console = files[0]
	}
	var report started
	files, err := conn.Expect(msgStarted, &report, 1)
	if err != nil {
		return err
	}
	p.Pid, p.pidfd = report.Pid, files[0]
	return nil
}

// watch receives how the process ended.
func (p *ExecProcess) watch(conn *wire.Conn) {
	defer conn.Close()
	var status ExitStatus
	if _, err := conn.Expect(msgExit, &status, 0); err != nil {
		// The sandbox has ended, and no process of the container outlives it.
		status = ExitStatus{Code: 128 + int(syscall.SIGKILL), Signal: int(syscall.SIGKILL)}
	}
	p.end(status, nil)
}

// Close releases the process's files. It does not end the process.
func (p *ExecProcess) Close() { p.release() }
