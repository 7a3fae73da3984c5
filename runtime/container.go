package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/wire"
)

// SandboxStage is the name of the stage. A binary that finds it in argv[0] must call SandboxMain before anything else.
const SandboxStage = "rcrun-sandbox"

// Root makes the root filesystem of a container appear. It runs in the sandbox: in the container's outer user namespace
// and a mount namespace of its own, with all capabilities there and with the caller's access to files. The caller's own
// user id is not necessarily mapped.
type Root interface {
	// Mount mounts the root on target, an empty directory of the caller's. A file that it returns is sent up to the
	// creator (Config.RootFD) and closed in the sandbox.
	Mount(target string) (*os.File, error)
}

// RootFactory makes a Root from the configuration that the creator gave.
type RootFactory func(config json.RawMessage) (Root, error)

// Config describes a container to be created.
type Config struct {
	// Spec is complete. A namespace that it does not name is the host's, except that the user and mount namespaces are
	// always new. Create returns an error for a field that this package does not implement, and names the field.
	Spec       *specs.Spec
	RootKind   string // key into the roots of SandboxMain
	RootConfig any    // handed to the factory as JSON
	Dir        string // absolute path of an empty directory of the caller's, to mount the root on

	// Init has a reaper as the first process of the container, which forwards signals and waits for orphans.
	Init bool

	// OpenMounts lets a payload with CAP_SYS_ADMIN detach, move and change what is mounted for it, and bind directories
	// below which something is mounted. Without it the kernel forbids that.
	OpenMounts bool

	// Stdin, Stdout and Stderr are used without Process.Terminal; nil is /dev/null. The caller keeps its files.
	Stdin, Stdout, Stderr *os.File

	// Create calls the following functions with its context. It waits for them also when that ends.

	// MapIDs writes the id maps of the user namespace of process pid.
	MapIDs func(ctx context.Context, pid int) error
	// Network, if not nil, connects the network namespace of process pid, the container's first, while the sandbox
	// makes the mounts.
	Network func(ctx context.Context, pid int) error
	// RootFD, if not nil, receives the file that Root.Mount returned, and owns it.
	RootFD func(ctx context.Context, root *os.File) error

	// LogFile receives what the stages print if they crash; nil is /dev/null.
	LogFile *os.File
}

// Container is one container, from its creation until Close.
type Container struct {
	handle
	sandbox  *sandboxProcess
	warnings []string
	started  chan error // receives the outcome of Start once

	startOnce, killOnce, closeOnce sync.Once
	startErr, closeErr             error
}

// Create makes a container up to the point where only the payload's execution is left. If it fails, or if ctx ends
// before, nothing remains.
func Create(ctx context.Context, c Config) (*Container, error) {
	if err := validate(c.Spec); err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	message, err := c.message()
	if err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	sandbox, err := startSandbox(c)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { sandbox.conn.Close() })
	container, err := sandbox.create(ctx, c, message)
	if !stop() {
		err = fmt.Errorf("create container: %w", context.Cause(ctx))
	}
	if err != nil {
		if container != nil {
			container.release()
		}
		return nil, errors.Join(err, sandbox.end())
	}
	go container.watch()
	return container, nil
}

// message returns what the sandbox is told: the specification, with the seccomp profile compiled.
func (c Config) message() (sandboxConfig, error) {
	filter, err := newFilter(c.Spec.Linux.Seccomp)
	if err != nil {
		return sandboxConfig{}, fault.As(errdefs.ErrInvalidArgument, err)
	}
	root, err := json.Marshal(c.RootConfig)
	if err != nil {
		return sandboxConfig{}, fmt.Errorf("encode configuration of the root: %w", err)
	}
	spec, linux := *c.Spec, *c.Spec.Linux
	linux.Seccomp = nil
	spec.Linux = &linux
	return sandboxConfig{Spec: &spec, Filter: filter, RootKind: c.RootKind, Root: root, Dir: c.Dir, Init: c.Init,
		OpenMounts: c.OpenMounts}, nil
}

// watch receives what the sandbox reports of the payload: how its start went, then how it ended.
func (c *Container) watch() {
	var s started
	_, err := c.sandbox.conn.Expect(msgStarted, &s, 0)
	c.started <- err
	var status ExitStatus
	if _, err := c.sandbox.conn.Expect(msgExit, &status, 0); err != nil {
		c.handle.Signal(syscall.SIGKILL) // the sandbox has died, and the container must not outlive it
		c.end(ExitStatus{Code: 128 + int(syscall.SIGKILL), Signal: int(syscall.SIGKILL)},
			wire.Errorf(stageSandbox, "wait for the payload", "", err))
		return
	}
	c.end(status, nil)
}

// Start executes the payload, once. If that is not possible, the error is an *ExecError and the container ends. The
// container also ends if ctx ends before the payload has been executed.
func (c *Container) Start(ctx context.Context) error {
	c.startOnce.Do(func() { c.startErr = c.start(ctx) })
	return c.startErr
}

func (c *Container) start(ctx context.Context) (err error) {
	if ctx.Err() != nil {
		return c.giveUp(ctx)
	}
	sendErr := c.sandbox.conn.Send(msgStart, nil)
	select {
	case err = <-c.started:
	case <-ctx.Done():
		return c.giveUp(ctx)
	}
	if sendErr != nil && err == nil {
		err = ErrExited
	}
	return execError(c.args, err)
}

// giveUp ends a container whose start was cancelled.
func (c *Container) giveUp(ctx context.Context) error {
	c.Kill() // an error means that it has ended
	return fmt.Errorf("start container: %w", context.Cause(ctx))
}

// InitPid is the process id of the container's first process in the creator's pid namespace.
func (c *Container) InitPid() int { return c.Pid }

// Warnings are sentences about what the host did not allow and what was done instead.
func (c *Container) Warnings() []string { return c.warnings }

// reportTime bounds how long the sandbox may take to report the end of a container that was killed.
const reportTime = 2 * time.Second

// Kill ends all processes of the container. Wait returns soon afterwards, whatever state the sandbox is in.
func (c *Container) Kill() error {
	err := c.handle.Signal(syscall.SIGKILL)
	c.killOnce.Do(func() { go c.insist() })
	return err
}

// insist makes sure that the end of a container that was killed is reported. A sandbox that is stopped (SIGSTOP)
// reports nothing, so it is continued, and killed where that does not help.
func (c *Container) insist() {
	for _, step := range []struct {
		patience time.Duration
		signal   syscall.Signal
	}{{reportTime, syscall.SIGCONT}, {endTime, syscall.SIGKILL}} {
		select {
		case <-c.ended:
			return
		case <-time.After(step.patience):
			c.sandbox.proc.Signal(step.signal) // an error means that the sandbox has ended
		}
	}
}

// Close kills what is left of the container, waits for its end and releases everything.
func (c *Container) Close() error {
	c.closeOnce.Do(func() {
		c.handle.Signal(syscall.SIGKILL) // it may have ended long ago
		c.closeErr = c.sandbox.end()
		<-c.ended
		c.release()
	})
	return c.closeErr
}
