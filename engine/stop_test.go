package engine

import (
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rcrun/rcrun/internal/wire"
)

// serveAs serves the socket of a container as a monitor that answers with the given function. It returns the container
// as a command finds it.
func serveAs(t *testing.T, answer func(conn *wire.Conn, request wire.Message)) *Container {
	t.Helper()
	return serveSockets(t, func(sock *net.UnixConn) {
		conn := wire.New(sock)
		defer conn.Close()
		if request, err := conn.Recv(); err == nil {
			answer(conn, request)
		}
	})
}

// serveSockets is serveAs for a function that speaks the protocol itself.
func serveSockets(t *testing.T, serve func(sock *net.UnixConn)) *Container {
	t.Helper()
	e := &Engine{Dirs: testDirs(t)}
	c := makeRecord(t, e, strings.Repeat("a", 64), "served", Running)
	held, err := newLock(c.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := listen(c.dir(), socketName)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close(); held.release() })
	if err := c.refresh(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			sock, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			go serve(sock)
		}
	}()
	return c
}

// TestStopOfOldMonitor stops a container whose monitor knows no stop, but signals.
func TestStopOfOldMonitor(t *testing.T) {
	var got atomic.Int32
	ended := make(chan struct{})
	c := serveAs(t, func(conn *wire.Conn, request wire.Message) {
		var body signalRequest
		switch request.Kind {
		case msgSignal:
			request.Decode(&body)
			got.Store(int32(body.Signal))
			conn.Send(msgDone, nil)
			close(ended)
		case msgWait:
			<-ended
			conn.Send(msgExited, Exit{Code: 143})
		default:
			tell(conn, unknownRequest(conn, request))
		}
	})
	if err := c.Stop(t.Context(), StopOptions{}); err != nil || syscall.Signal(got.Load()) != syscall.SIGTERM {
		t.Errorf("stop: signal %d, %v", got.Load(), err)
	}
}

// TestStopAfterStart stops a container by the object that it was created with, and looks at what is recorded.
func TestStopAfterStart(t *testing.T) {
	_, c := started(t, "trap '' TERM; while :; do sleep 0.1; done", nil)
	patience := 100 * time.Millisecond
	if err := c.Stop(t.Context(), StopOptions{Timeout: &patience}); err != nil {
		t.Fatal(err)
	}
	if err := c.refresh(); err != nil || c.State.Status != Exited || c.State.ExitCode != 137 || !c.State.StopRequested {
		t.Errorf("state: %+v, %v", c.State, err)
	}
}
