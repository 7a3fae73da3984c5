package mounted

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/rcrun/rcrun/fusefs"
	"github.com/rcrun/rcrun/fusefs/mount"
	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/unionmount"
)

// Main is the server. It learns from its starter which directories to unite, gets the FUSE connection of their mount,
// and serves it until the mount is gone. It never looks at the mount.
func Main() int {
	conn, err := stage.Conn()
	if err == nil {
		err = serveOver(conn)
	}
	if err != nil {
		slog.Error("serve the root filesystem", "error", err)
		if conn != nil {
			conn.SendError("fuse server", err) // the log has it already if the starter is gone
		}
		return 1
	}
	return 0
}

// serveOver serves what the starter asks for over conn.
func serveOver(conn *wire.Conn) error {
	// Standard error has no reader when the monitor was killed, and there may be work to finish.
	signal.Ignore(syscall.SIGPIPE)
	var request Request
	if _, err := conn.Expect(msgOpen, &request, 0); err != nil {
		return err
	}
	union, err := unionmount.Open(request.Union)
	if err != nil {
		return err
	}
	defer union.Close()
	if err := conn.Send(msgReady, nil); err != nil {
		return err
	}
	files, err := conn.Expect(msgServe, nil, 1)
	if err != nil {
		return err
	}
	defer files[0].Close()
	gate := &fusefs.Gate{}
	go obey(conn, gate)
	return serve(context.Background(), union, files[0], request, gate)
}

// obey closes and opens the gate as the starter says. When the starter is gone the gate is open: requests that wait at
// it would keep the mount from going away.
func obey(conn *wire.Conn, gate *fusefs.Gate) {
	closed := false
	for {
		message, err := conn.Recv()
		switch {
		case err == nil && message.Kind == msgFreeze && !closed:
			gate.Close()
			closed = true
			conn.Send(msgFrozen, nil) // an error shows in what is received next
		case (err != nil || message.Kind == msgThaw) && closed:
			gate.Open()
			closed = false
		}
		if err != nil {
			return
		}
		wire.CloseFiles(message.Files)
	}
}

// serve serves a union until its mount is gone. A signal that asks the process to end has it unmounted, if it has a
// place in this process's view at all.
func serve(ctx context.Context, union *unionmount.Union, dev *os.File, request Request, gate *fusefs.Gate) error {
	if request.Target != "" {
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		unmounting := context.AfterFunc(ctx, func() {
			if err := mount.Unmount(request.Target); err != nil {
				slog.Error("unmount on a signal", "error", err)
			}
		})
		defer unmounting()
	}
	return fusefs.Serve(dev, union, request.options(gate))
}
