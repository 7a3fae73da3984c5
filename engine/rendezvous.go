package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/own"
	"github.com/rcrun/rcrun/internal/wire"
)

// rendezvous is where a process meets the monitor of a container that may be still to be started: the next monitor
// connects to all sockets in a directory before the payload runs.
type rendezvous struct {
	c        *Container
	listener *net.UnixListener // nil where the container ran already
	path     string            // of the listener's socket
}

// rendezvous makes a place to meet. The container's next monitor knows of it from now on.
func (c *Container) rendezvous() (*rendezvous, error) {
	copied := *c // meeting reads the state again
	r := &rendezvous{c: &copied}
	if err := r.c.refresh(); err != nil {
		return nil, c.goneError(err)
	}
	if r.c.monitored {
		return r, nil
	}
	if err := c.requireWhole(); err != nil {
		return nil, err
	}
	return r, r.listen()
}

// listen makes the socket.
func (r *rendezvous) listen() error {
	name, err := newID(rand.Reader)
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range r.c.waiterDirs() {
		listener, err := listenIn(dir, ShortID(name))
		if err == nil {
			r.listener, r.path = listener, filepath.Join(dir, ShortID(name))
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("wait for the start of %s: %w", r.c.Name, errors.Join(errs...))
}

// listenIn makes a socket in a directory that may have to be made, and may be removed meanwhile when it is empty.
func listenIn(dir, name string) (listener *net.UnixListener, err error) {
	for range 10 {
		if err = own.MakeDir(dir); err != nil {
			return nil, err
		}
		if listener, err = listen(dir, name); !errors.Is(err, os.ErrNotExist) {
			return listener, err
		}
	}
	return nil, err
}

// close gives the place up.
func (r *rendezvous) close() {
	if r.listener != nil {
		r.listener.Close()
		os.Remove(r.path)
		os.Remove(filepath.Dir(r.path)) // fails when other processes wait there
	}
}

// meet returns a connection to the monitor: that of the run that goes on, or of the next one.
func (r *rendezvous) meet(ctx context.Context) (*wire.Conn, error) {
	if r.listener == nil {
		return r.c.dial(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watching
	accepted := make(chan *net.UnixConn, 1)
	go func() {
		defer close(accepted)
		if sock, err := r.listener.AcceptUnix(); err == nil {
			accepted <- sock
		}
	}()
	started := make(chan error, 1)
	go func() { started <- r.c.awaitRun(ctx) }()
	select {
	case sock := <-accepted:
		return r.c.trust(sock)
	case err := <-started:
		return r.meetRunning(ctx, accepted, err)
	}
}

// meetRunning connects to the monitor of a container that was seen running, or could not be watched any more: by the
// connection that the monitor made before that, or by a new one where it had looked for waiters before this one came.
func (r *rendezvous) meetRunning(ctx context.Context, accepted <-chan *net.UnixConn, err error) (*wire.Conn, error) {
	sock := r.acceptNow()
	r.listener.Close()
	if late := <-accepted; late != nil {
		sock = late
	}
	switch {
	case sock != nil:
		return r.c.trust(sock)
	case err != nil:
		return nil, err
	}
	return r.c.dial(ctx)
}

// acceptNow takes a connection that has been made already; nil where there is none.
func (r *rendezvous) acceptNow() *net.UnixConn {
	raw, err := r.listener.SyscallConn()
	if err != nil {
		return nil
	}
	fd := -1
	raw.Control(func(listening uintptr) {
		fd, _, err = unix.Accept4(int(listening), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	})
	if err != nil || fd < 0 {
		return nil
	}
	file := os.NewFile(uintptr(fd), "accepted")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil
	}
	return conn.(*net.UnixConn)
}

// awaitRun returns when a monitor says that the container runs, or with an error when it is gone.
func (c *Container) awaitRun(ctx context.Context) error {
	watch, err := c.watch()
	if err != nil {
		return c.goneError(err)
	}
	defer watch.Close()
	for {
		if err := c.refresh(); err != nil {
			return c.goneError(err)
		}
		if c.monitored {
			return nil
		}
		if _, err := watch.Wait(ctx); err != nil {
			return c.goneError(err)
		}
	}
}
