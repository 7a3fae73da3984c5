package engine

import (
	"context"
	"errors"
	"os"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/rcrun/rcrun/internal/wire"
)

// Wait waits until the container does not run, and returns how it ended.
func (c *Container) Wait(ctx context.Context) (Exit, error) {
	exit, err := c.askEnd(ctx)
	if err == nil {
		return exit, nil
	}
	if ctx.Err() != nil {
		return Exit{}, context.Cause(ctx)
	}
	if refreshErr := c.refresh(); refreshErr != nil {
		return Exit{}, c.goneError(refreshErr)
	}
	if c.monitored {
		return Exit{}, err
	}
	return Exit{Code: c.State.ExitCode, Error: c.State.Error}, nil
}

// askEnd has the monitor tell how the container ends.
func (c *Container) askEnd(ctx context.Context) (Exit, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return Exit{}, err
	}
	return endOver(ctx, conn)
}

// endOver has the monitor at the other end of a connection tell how the container ends.
func endOver(ctx context.Context, conn *wire.Conn) (Exit, error) {
	defer conn.Close()
	if err := conn.Send(msgWait, nil); err != nil {
		return Exit{}, err
	}
	return (&Session{conn: conn}).Wait(ctx)
}

// Waiting is a wait for the end of a container, which has begun.
type Waiting struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when exit or err holds
	exit   Exit
	err    error
}

// BeginWait begins to wait for what Docker calls the condition: that the container does not run ("" as well), that it
// ends the next time, or that it is removed. When it returns, no later start and end is missed. When ctx ends first, so
// does the waiting.
func (c *Container) BeginWait(ctx context.Context, condition container.WaitCondition) (*Waiting, error) {
	var end func(context.Context) (Exit, error)
	switch condition {
	case "", container.WaitConditionNotRunning:
		copied := *c // waiting reads the state again
		end = copied.Wait
	case container.WaitConditionNextExit, container.WaitConditionRemoved:
		place, err := c.rendezvous()
		if err != nil {
			return nil, err
		}
		end = place.awaitExit
		if condition == container.WaitConditionRemoved {
			end = place.awaitRemoval
		}
	default:
		return nil, invalidf("invalid condition: %q", condition)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Waiting{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.exit, w.err = end(ctx)
	}()
	return w, nil
}

// End waits until the condition holds, and returns how the container ended.
func (w *Waiting) End(ctx context.Context) (Exit, error) {
	select {
	case <-w.done:
		return w.exit, w.err
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// Close ends the waiting.
func (w *Waiting) Close() {
	w.cancel()
	<-w.done
}

// awaitExit waits for the end of the run that goes on, or of the next one.
func (r *rendezvous) awaitExit(ctx context.Context) (Exit, error) {
	defer r.close()
	conn, err := r.meet(ctx)
	if err != nil {
		return Exit{}, err
	}
	return endOver(ctx, conn)
}

// awaitRemoval waits until the container is gone, and returns how it ended before: by the monitor that was met, since a
// container that goes with its end leaves no record. A removal that fails is an error.
func (r *rendezvous) awaitRemoval(ctx context.Context) (Exit, error) {
	exit, err := r.awaitExit(ctx)
	switch {
	case errdefs.IsNotFound(err): // it was removed without a start
		return Exit{Code: r.c.State.ExitCode, Error: r.c.State.Error}, nil
	case ctx.Err() != nil:
		return Exit{}, context.Cause(ctx)
	case err != nil:
		exit = Exit{Code: ExitCode(err), Error: err.Error()} // it did not start
	}
	return r.c.awaitGone(ctx, exit)
}

// awaitGone waits until the container is gone, and returns its last exit, which so far is the given one.
func (c *Container) awaitGone(ctx context.Context, exit Exit) (Exit, error) {
	watch, err := c.watch(removalFile)
	if errors.Is(err, os.ErrNotExist) {
		return exit, nil
	}
	if err != nil {
		return Exit{}, err
	}
	defer watch.Close()
	for {
		err := c.refresh()
		if err == nil {
			if c.State.Status == Dead {
				return Exit{}, conflictf("container %s could not be removed: %s", c.Name, c.State.Error)
			}
			if c.State.Status == Exited {
				exit = Exit{Code: c.State.ExitCode, Error: c.State.Error}
			}
			_, err = watch.Wait(ctx)
		}
		switch {
		case errors.Is(err, os.ErrNotExist):
			return exit, nil
		case err != nil:
			return Exit{}, err
		}
	}
}
