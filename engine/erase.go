package engine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"

	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/internal/wire"
)

// eraser is the process that removes a container which goes with its end. The monitor cannot do it: it does not have
// the image store.
type eraser struct {
	cmd  *exec.Cmd
	conn *wire.Conn
}

// startEraser starts the process ahead of its task, while the container is being taken down, so that nobody has to wait
// for its start. A container that stays needs none: nil.
func (m *monitor) startEraser() (*eraser, error) {
	if !m.c.HostConfig.AutoRemove {
		return nil, nil
	}
	cmd, conn, err := stage.StartOf(m.whole, EraseStage, m.journal.stages)
	if err != nil {
		return nil, err
	}
	conn.Send(msgPrepare, eraseRequest{Dirs: m.c.dirs, ID: m.c.ID}) // an error shows in what follows
	return &eraser{cmd, conn}, nil
}

// erase removes every trace of the container. The process shares the lock, which it keeps should we be killed.
func (e *eraser) erase(c *Container, held *lock) error {
	err := e.conn.Send(msgErase, nil, held.file)
	if err == nil {
		_, err = receive(e.conn, msgDone)
	}
	e.conn.Close()
	e.cmd.Wait() // how it went it has said
	if err != nil {
		return fmt.Errorf("remove container %s: %w", c.Name, err)
	}
	return nil
}

// EraseMain is the stage that removes a container with its layer. It opens the engine that it needs for that, and the
// image store ahead of its task.
func EraseMain(open func(Dirs) (*Engine, io.Closer, error)) int {
	conn, err := stage.Conn()
	if err != nil {
		slog.Error("remove the container", "error", err)
		return 1
	}
	var request eraseRequest
	if _, err := conn.Expect(msgPrepare, &request, 0); err != nil {
		return 1 // the monitor was killed
	}
	e, store, openErr := open(request.Dirs)
	if openErr == nil {
		defer store.Close()
		_, openErr = e.OpenStore(context.Background())
	}
	lock, err := conn.Expect(msgErase, nil, 1)
	if err != nil {
		return 1 // the monitor was killed, or has no need of us
	}
	defer wire.CloseFiles(lock)
	if openErr == nil {
		openErr = e.destroy(context.Background(), request.ID)
	}
	if openErr != nil {
		return refuse(conn, openErr)
	}
	conn.Send(msgDone, nil) // a monitor that is gone does not want to know
	return 0
}
