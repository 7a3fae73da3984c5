package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rcrun/rcrun/internal/wire"
)

// freezing is the monitor's side of holding a container's filesystem still: by one command at a time, and not after the
// container has ended.
type freezing struct {
	mu    sync.Mutex // held while it is still
	ended bool       // guarded by mu
}

// end waits for who reads the filesystem: as long as somebody does, the container is not over, so that nobody else
// starts or removes it.
func (f *freezing) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
}

// handleFreeze holds the filesystem still until the client goes away, however it does.
func (m *monitor) handleFreeze(conn *wire.Conn, _ wire.Message) error {
	r := m.current()
	if r.fuse == nil {
		return errNoLayers(m.c)
	}
	r.frozen.mu.Lock()
	defer r.frozen.mu.Unlock()
	if r.frozen.ended {
		return conflictf("container %s has ended", m.c.Name)
	}
	if err := r.box.Sync(context.Background()); err != nil {
		return fmt.Errorf("hold the filesystem still: %w", err)
	}
	if err := r.fuse.conn.Freeze(); err != nil {
		return fmt.Errorf("hold the filesystem still: %w", err)
	}
	conn.Send(msgFrozen, nil) // an error shows in what is received next
	conn.Recv()
	return r.fuse.conn.Thaw()
}

// RequireLayers is an error for a container that runs in a directory of the user's.
func (c *Container) RequireLayers() error {
	if c.HostConfig.Rootfs != "" {
		return errNoLayers(c)
	}
	return nil
}

func errNoLayers(c *Container) error {
	return conflictf("container %s runs in a directory of the host and has no image layers", c.Name)
}

const (
	// holdTime is how long it may take to get hold of a container, which others may be starting, removing or reading.
	holdTime = time.Minute
	// endTime is how long the monitor of one that ends may refuse, before it has recorded that.
	endTime = 5 * time.Second
)

// Hold keeps what is in the container's layers from being changed until release is called. Without pause, a container
// that runs goes on writing.
func (c *Container) Hold(ctx context.Context, pause bool) (release func() error, err error) {
	err = c.retry(ctx, func() (time.Duration, error) {
		release, err = c.tryHold(ctx, pause)
		switch {
		case err == nil:
			return 0, nil
		case errors.Is(err, errMarked):
			return 0, err
		case isAnswer(err):
			return endTime, err
		case errors.Is(err, os.ErrNotExist):
			return 0, c.goneError(err)
		}
		return holdTime, err
	})
	return release, err
}

// tryHold fails while others have the container locked, and when it starts or ends meanwhile.
func (c *Container) tryHold(ctx context.Context, pause bool) (release func() error, err error) {
	if !locked(c.lockPath()) {
		held, err := c.tryLock()
		if err == nil {
			if err := c.requireWhole(); err != nil {
				held.release()
				return nil, err
			}
			return func() error { held.release(); return nil }, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, err
		}
	}
	if err := c.refresh(); err != nil {
		return nil, err
	}
	switch {
	case !c.State.Status.Up():
		return nil, conflictf("container %s is in use by another command", c.Name)
	case !pause:
		return func() error { return nil }, nil
	}
	return c.freeze(ctx)
}

// freeze holds the filesystem of a running container still.
func (c *Container) freeze(ctx context.Context) (release func() error, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	err = conn.Within(ctx, func() error {
		if err := conn.Send(msgFreeze, nil); err != nil {
			return err
		}
		_, err := receive(conn, msgFrozen)
		return err
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn.Close, nil
}
