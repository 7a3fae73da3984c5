package engine

import (
	"context"
	"sync/atomic"

	"github.com/rcrun/rcrun/internal/wire"
)

// Pending is a session with a container's payload that may be still to be started.
type Pending struct {
	cancel  context.CancelFunc
	done    chan struct{} // closed when session or err holds
	session *Session
	err     error
	taken   atomic.Bool // Session has returned the session
}

// AttachNext attaches to the payload of a container: to the one that runs, or else to the next one, from the first byte
// of its output. When it returns, the next start knows of it. When ctx ends before the start, so does the waiting.
func (c *Container) AttachNext(ctx context.Context, streams Streams, size WinSize) (*Pending, error) {
	place, err := c.rendezvous()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &Pending{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.session, p.err = place.attach(ctx, streams, size)
	}()
	return p, nil
}

// attach meets the monitor and attaches the streams.
func (r *rendezvous) attach(ctx context.Context, streams Streams, size WinSize) (*Session, error) {
	defer r.close()
	conn, err := r.meet(ctx)
	if err != nil {
		return nil, err
	}
	return attachOver(ctx, conn, streams, size)
}

// attachOver attaches to the payload of the monitor at the other end of a connection.
func attachOver(ctx context.Context, conn *wire.Conn, streams Streams, size WinSize) (*Session, error) {
	session := &Session{conn: conn}
	err := session.open(ctx, streams, func(set streamSet) (string, any) {
		return msgAttach, attachRequest{Streams: set, Size: size}
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}

// Session waits until the payload runs. The session is the caller's, who closes it.
func (p *Pending) Session(ctx context.Context) (*Session, error) {
	select {
	case <-p.done:
		p.taken.Store(true)
		return p.session, p.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close ends the waiting, and a session that Session has not returned.
func (p *Pending) Close() error {
	p.cancel()
	<-p.done
	if p.session == nil || p.taken.Swap(true) {
		return nil
	}
	return p.session.Close()
}
