package engine

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"
)

// defaultStopTimeout is how long stop waits before it kills.
const defaultStopTimeout = 10 * time.Second

// Signal sends a signal to the payload of a running container.
func (c *Container) Signal(sig syscall.Signal) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Send(msgSignal, signalRequest{Signal: sig}); err != nil {
		return err
	}
	_, err = receive(conn, msgDone)
	return err
}

// Wait waits until the container does not run, and returns how it ended.
func (c *Container) Wait() (Exit, error) {
	conn, err := c.dial()
	if err != nil {
		if refreshErr := c.refresh(); refreshErr != nil {
			return Exit{}, refreshErr
		}
		if c.State.Status == Running {
			return Exit{}, err
		}
		return Exit{Code: c.State.ExitCode, Error: c.State.Error}, nil
	}
	defer conn.Close()
	if err := conn.Send(msgWait, nil); err != nil {
		return Exit{}, err
	}
	session := &Session{conn: conn}
	exit, err := session.Wait()
	if err == nil {
		return exit, nil
	}
	// The monitor was killed.
	if refreshErr := c.refresh(); refreshErr != nil || c.State.Status == Running {
		return Exit{}, errors.Join(err, refreshErr)
	}
	return Exit{Code: c.State.ExitCode, Error: c.State.Error}, nil
}

// Stop asks the payload to end, and kills it when it has not after timeout; nil means the container's own, or ten
// seconds. A container that does not run is left as it is.
func (c *Container) Stop(timeout *time.Duration) error {
	if c.State.Status != Running {
		return nil
	}
	sig, patience := c.stopMethod(timeout)
	done := make(chan error, 1)
	go func() { _, err := c.waitCopy().Wait(); done <- err }()
	if err := c.Signal(sig); err != nil {
		return c.ignoreEnded(err)
	}
	select {
	case err := <-done:
		return err
	case <-afterOrNever(patience):
	}
	if err := c.Signal(syscall.SIGKILL); err != nil {
		return c.ignoreEnded(err)
	}
	return <-done
}

// stopMethod returns the signal that asks the payload to end, and how long it has for that. A signal that an image
// names and nobody knows is no reason not to stop.
func (c *Container) stopMethod(timeout *time.Duration) (sig syscall.Signal, patience time.Duration) {
	sig, patience = syscall.SIGTERM, defaultStopTimeout
	if parsed, err := ParseSignal(c.Config.StopSignal); err == nil {
		sig = parsed
	}
	switch {
	case timeout != nil:
		patience = *timeout
	case c.Config.StopTimeout != nil:
		patience = time.Duration(*c.Config.StopTimeout) * time.Second
	}
	return sig, patience
}

// waitCopy is a copy of c for another goroutine: waiting reads the state anew.
func (c *Container) waitCopy() *Container {
	other := *c
	return &other
}

// afterOrNever is time.After, but for a negative duration it never comes.
func afterOrNever(d time.Duration) <-chan time.Time {
	if d < 0 {
		return nil
	}
	return time.After(d)
}

// ignoreEnded drops an error that came of the container's having ended meanwhile.
func (c *Container) ignoreEnded(err error) error {
	if c.refresh() != nil || c.State.Status != Running {
		return nil
	}
	return err
}

// Remove removes the container. A running one is an error, or with force killed first.
func (e *Engine) Remove(c *Container, force bool) error {
	if c.State.Status == Running && !force {
		return fmt.Errorf("%w: cannot remove container %q: container is running: stop the container before removing or force remove", ErrConflict, c.Name)
	}
	if c.State.Status == Running {
		if err := c.kill(); err != nil {
			return err
		}
	}
	held, err := waitLock(c.lockPath(), 5*time.Second)
	if err == nil {
		defer held.release()
	}
	if _, gone := os.Lstat(c.path(configFile)); errors.Is(gone, os.ErrNotExist) {
		return nil // somebody else has removed it, or is about to, as its monitor does with --rm
	}
	if err != nil {
		return fmt.Errorf("remove container %s: %w", c.Name, err)
	}
	if err := os.RemoveAll(c.State.RunDir); err != nil {
		return fmt.Errorf("remove container %s: %w", c.Name, err)
	}
	return e.erase(c.ID)
}

// kill ends a running container in whatever state its processes are: the payload through the monitor, and the
// monitor itself where it does not answer, upon which the sandbox and all in it go down.
func (c *Container) kill() error {
	if err := c.Signal(syscall.SIGKILL); err == nil {
		return nil
	}
	if err := c.refresh(); err != nil || c.State.Status != Running {
		return nil // it is gone
	}
	if pid := c.State.MonitorPid; pid > 0 {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill the monitor of %s: %w", c.Name, err)
		}
	}
	return nil
}

// ParseSignal reads a signal by number or by name, with or without SIG.
func ParseSignal(text string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > 64 {
			return 0, fmt.Errorf("invalid signal: %s", text)
		}
		return syscall.Signal(n), nil
	}
	sig, ok := signal.SignalMap[strings.TrimPrefix(strings.ToUpper(text), "SIG")]
	if !ok {
		return 0, fmt.Errorf("invalid signal: %s", text)
	}
	return sig, nil
}
