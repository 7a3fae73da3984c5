package wire

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHangup is the cause of the end of the context of WhileConnected when the other side has closed the connection.
var ErrHangup = errors.New("the other side has closed the connection")

// WhileConnected calls do with a context that also ends when the other side closes the connection. It reads no message:
// one that comes meanwhile can still be received, but from then on the end goes unnoticed. No other goroutine may
// receive at the same time.
func (c *Conn) WhileConnected(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if c.hangsUp() {
			cancel(ErrHangup)
		}
	}()
	err := do(ctx)
	c.sock.SetReadDeadline(time.Unix(1, 0)) // ends the watch
	<-watched
	c.sock.SetReadDeadline(time.Time{})
	return err
}

// hangsUp waits until the other side sends or closes, or until the deadline, and tells whether it has closed.
func (c *Conn) hangsUp() (closed bool) {
	raw, err := c.sock.SyscallConn()
	if err != nil {
		return false
	}
	raw.Read(func(fd uintptr) bool {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		closed = err == nil && n == 0 || errors.Is(err, unix.ECONNRESET)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return closed
}
