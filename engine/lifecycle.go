package engine

import (
	"context"
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

// answerTime is how long a monitor may take to answer a request that needs no waiting.
const answerTime = 5 * time.Second

// Signal sends a signal to the payload of a running container.
func (c *Container) Signal(ctx context.Context, sig syscall.Signal) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerTime))
	return conn.Within(ctx, func() error {
		if err := conn.Send(msgSignal, signalRequest{Signal: sig}); err != nil {
			return err
		}
		_, err := receive(conn, msgDone)
		return err
	})
}

// Remove removes the container of a name or id. A running one is an error, or with force killed first. One whose
// record is damaged can be removed too, with force.
func (e *Engine) Remove(ctx context.Context, ref string, force bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	id, err := e.Dirs.resolve(ref)
	if err != nil {
		return err
	}
	c, err := e.Dirs.load(id)
	switch {
	case errdefs.IsNotFound(err):
		return e.sweep(ctx) // its maker, or its remover, was killed
	case err != nil && !force:
		return &DamagedError{err}
	case err != nil:
		c = &Container{ID: id, Name: ref, dirs: e.Dirs}
	case c.State.Status.Up() && !force:
		return conflictf("cannot remove container %q: container is running: "+
			"stop the container before removing or force remove", c.Name)
	case c.State.Status.Up():
		c.Signal(ctx, syscall.SIGKILL) // whether that helped shows in the lock
	}
	return e.removeLocked(ctx, c)
}

// RemoveUnstarted removes a container that was never started, if it is still there.
func (c *Container) RemoveUnstarted(ctx context.Context, e *Engine) error {
	if c.refresh() != nil || c.State.Status != Created {
		return nil
	}
	return e.removeLocked(ctx, c)
}

// removeLocked removes a container once it has its lock. A monitor that holds it for too long is killed, upon which
// the sandbox and all in it go down. One that waits for a slow filesystem server is given the time.
func (e *Engine) removeLocked(ctx context.Context, c *Container) error {
	const patience = serverEndTime + 5*time.Second
	held, err := waitLock(ctx, c.lockPath(), patience)
	if errors.Is(err, errLocked) && c.refresh() == nil {
		if err := c.State.Monitor.Kill(); err != nil {
			return err
		}
		held, err = waitLock(ctx, c.lockPath(), patience)
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
		if err := c.endLeft(e.events); err != nil {
			return fmt.Errorf("remove container %s: %w", c.Name, err)
		}
	}
	if err := c.removeRunDirs(); err != nil {
		return fmt.Errorf("remove container %s: %w", c.Name, err)
	}
	return e.destroy(ctx, c.ID)
}

// removeRunDirs removes the run directory that a killed monitor leaves: the recorded one, and that of now, in which a
// monitor may have begun that was killed before it recorded anything.
func (c *Container) removeRunDirs() error {
	return errors.Join(rmtree.Remove(c.State.RunDir), rmtree.Remove(c.dirs.runtimeDir(c.ID)))
}

// validateSignal refuses what is no signal; "" is the usual one.
func validateSignal(text string) error {
	if text == "" {
		return nil
	}
	_, err := ParseSignal(text)
	return err
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
