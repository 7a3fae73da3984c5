package engine

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/signal"

	"github.com/rcrun/rcrun/internal/rmtree"
)

// defaultStopTimeout is how long stop waits before it kills.
const defaultStopTimeout = 10 * time.Second

// answerTime is how long a monitor may take to answer a request that needs no waiting.
const answerTime = 5 * time.Second

// Signal sends a signal to the payload of a running container.
func (c *Container) Signal(sig syscall.Signal) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerTime))
	if err := conn.Send(msgSignal, signalRequest{Signal: sig}); err != nil {
		return err
	}
	_, err = receive(conn, msgDone)
	return err
}

// Wait waits until the container does not run, and returns how it ended.
func (c *Container) Wait() (Exit, error) {
	conn, err := c.dial()
	if err == nil {
		defer conn.Close()
		if err = conn.Send(msgWait, nil); err == nil {
			exit, waitErr := (&Session{conn: conn}).Wait()
			if waitErr == nil {
				return exit, nil
			}
			err = waitErr
		}
	}
	if refreshErr := c.refresh(); refreshErr != nil {
		return Exit{}, c.goneError(refreshErr)
	}
	if c.State.Status == Running {
		return Exit{}, err
	}
	return Exit{Code: c.State.ExitCode, Error: c.State.Error}, nil
}

// StopOptions are how to stop a container, where it is not as the container's configuration says.
type StopOptions struct {
	Signal  syscall.Signal // that asks the payload to end; 0 is the container's own, or SIGTERM
	Timeout *time.Duration // after which it is killed; nil is the container's own, or ten seconds
}

// Stop asks the payload to end, and kills it when it has not in time. A container that does not run is left as it is.
func (c *Container) Stop(options StopOptions) error {
	if c.State.Status != Running {
		return nil
	}
	sig, patience := c.stopMethod(options)
	ended := make(chan error, 1)
	go func() {
		other := *c // waiting reads the state again
		_, err := other.Wait()
		ended <- err
	}()
	if err := c.signalOrEnded(sig); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return c.ignoreEnded(err)
	case <-afterOrNever(patience):
	}
	if err := c.signalOrEnded(syscall.SIGKILL); err != nil {
		return err
	}
	return c.ignoreEnded(<-ended)
}

// signalOrEnded is Signal for one who waits for the end anyway: that it has come already is no error.
func (c *Container) signalOrEnded(sig syscall.Signal) error {
	err := c.Signal(sig)
	if isAnswer(err) {
		return nil // the monitor is there, and has nobody to give the signal to any more
	}
	return c.ignoreEnded(err)
}

// stopMethod returns the signal that asks the payload to end, and how long it has for that. A signal that an image
// names and nobody knows is no reason not to stop.
func (c *Container) stopMethod(options StopOptions) (sig syscall.Signal, patience time.Duration) {
	sig, patience = syscall.SIGTERM, defaultStopTimeout
	if parsed, err := ParseSignal(c.Config.StopSignal); err == nil {
		sig = parsed
	}
	if options.Signal != 0 {
		sig = options.Signal
	}
	switch {
	case options.Timeout != nil:
		patience = *options.Timeout
	case c.Config.StopTimeout != nil:
		patience = time.Duration(*c.Config.StopTimeout) * time.Second
	}
	return sig, patience
}

// afterOrNever is time.After, but for a negative duration it never comes.
func afterOrNever(d time.Duration) <-chan time.Time {
	if d < 0 {
		return nil
	}
	return time.After(d)
}

// ignoreEnded drops an error that came of the container's having ended, or gone, meanwhile.
func (c *Container) ignoreEnded(err error) error {
	if err == nil || c.refresh() != nil || c.State.Status != Running {
		return nil
	}
	return err
}

// Remove removes the container of a name or id. A running one is an error, or with force killed first. One whose
// record is damaged can be removed too, with force.
func (e *Engine) Remove(ref string, force bool) error {
	id, err := e.Dirs.resolve(ref)
	if err != nil {
		return err
	}
	c, err := e.Dirs.load(id)
	switch {
	case errdefs.IsNotFound(err):
		return e.sweep() // its maker, or its remover, was killed
	case err != nil && !force:
		return fmt.Errorf("%w (remove it with --force)", err)
	case err != nil:
		c = &Container{ID: id, Name: ref, dirs: e.Dirs}
	case c.State.Status == Running && !force:
		return conflictf("cannot remove container %q: container is running: stop the container before removing or force remove", c.Name)
	case c.State.Status == Running:
		c.Signal(syscall.SIGKILL) // whether that helped shows in the lock
	}
	return e.removeLocked(c)
}

// RemoveUnstarted removes a container that was never started, if it is still there.
func (c *Container) RemoveUnstarted(e *Engine) error {
	if c.refresh() != nil || c.State.Status != Created {
		return nil
	}
	return e.removeLocked(c)
}

// removeLocked removes a container once it has its lock. A monitor that holds it for too long is killed, upon which
// the sandbox and all in it go down.
func (e *Engine) removeLocked(c *Container) error {
	const patience = 5 * time.Second
	held, err := waitLock(c.lockPath(), patience)
	if errors.Is(err, errLocked) && c.refresh() == nil {
		if err := c.State.Monitor.Kill(); err != nil {
			return err
		}
		held, err = waitLock(c.lockPath(), patience)
	}
	if err == nil {
		defer held.release()
	}
	if _, gone := os.Lstat(c.dir()); errors.Is(gone, os.ErrNotExist) {
		return nil // somebody else has removed it, as its monitor does with --rm
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove container %s: %w", c.Name, err)
	}
	if held != nil {
		if err := c.endLeft(); err != nil {
			return fmt.Errorf("remove container %s: %w", c.Name, err)
		}
	}
	if err := rmtree.Remove(c.State.RunDir); err != nil {
		return fmt.Errorf("remove container %s: %w", c.Name, err)
	}
	return e.erase(c.ID)
}

// ParseSignal reads a signal by number or by name, with or without SIG.
func ParseSignal(text string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > 64 {
			return 0, invalidf("invalid signal: %s", text)
		}
		return syscall.Signal(n), nil
	}
	sig, ok := signal.SignalMap[strings.TrimPrefix(strings.ToUpper(text), "SIG")]
	if !ok {
		return 0, invalidf("invalid signal: %s", text)
	}
	return sig, nil
}
