package engine

import (
	"os"
	"path/filepath"
	"time"

	"github.com/rcrun/rcrun/internal/own"
	"github.com/rcrun/rcrun/internal/wire"
)

// waitersName is the directory with the sockets of those who wait for the container's start.
const waitersName = "waiters"

// waiterDirs are where such sockets can be: in the container's own directory, or, where that is on a filesystem without
// sockets, in the run directory.
func (c *Container) waiterDirs() []string {
	return []string{c.path(waitersName), filepath.Join(c.dirs.Run, waitersName, c.ID)}
}

// sayTime is how long a start waits for those who wait for it to say what they want. One who takes longer is served
// later.
const sayTime = 2 * time.Second

// waiter is a process that waited for the container's start.
type waiter struct {
	conn     *wire.Conn
	received chan struct{} // closed when request, or err, is there
	request  wire.Message
	err      error
	attached *attachment // nil for one that did not ask for that, or not in time
}

// collectWaiters connects to all who wait for the container's start. A process that registers later connects to this
// monitor by itself, as soon as the container runs.
func (m *monitor) collectWaiters() (all []*waiter) {
	for _, dir := range m.c.waiterDirs() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // no process waits there
		}
		for _, entry := range entries {
			if w := callWaiter(dir, entry.Name()); w != nil {
				all = append(all, w)
			}
		}
		os.Remove(dir) // fails when another process has come
	}
	late := time.After(sayTime)
	for _, w := range all {
		select {
		case <-w.received:
		case <-late:
			return all
		}
	}
	return all
}

// callWaiter connects to a waiter's socket, and removes it, also that of one that was killed.
func callWaiter(dir, name string) *waiter {
	sock, err := dialIn(dir, name)
	os.Remove(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	if err := own.CheckPeer(sock); err != nil {
		sock.Close()
		return nil
	}
	w := &waiter{conn: wire.New(sock), received: make(chan struct{})}
	go func() {
		defer close(w.received)
		w.request, w.err = w.conn.Recv()
	}()
	return w
}

// hasSaid tells whether it is known what the waiter wants.
func (w *waiter) hasSaid() bool {
	select {
	case <-w.received:
		return w.err == nil
	default:
		return false
	}
}

// attachWaiters attaches those who wait for that, before the payload can write anything.
func (m *monitor) attachWaiters() {
	for _, w := range m.waiters {
		if w.hasSaid() && w.request.Kind == msgAttach {
			w.attached, w.err = m.takeAttachment(w.conn, w.request)
		}
	}
}

// serveWaiter serves a waiter once the payload runs.
func (m *monitor) serveWaiter(w *waiter) {
	defer w.conn.Close()
	<-w.received
	switch {
	case w.attached != nil:
		m.answerAttached(w.attached)
	case w.err != nil:
		tell(w.conn, w.err) // in vain where it went away
	default:
		m.dispatch(w.conn, w.request)
	}
}
