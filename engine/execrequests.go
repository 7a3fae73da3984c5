package engine

import (
	"syscall"

	"github.com/rcrun/rcrun/internal/wire"
)

// execStart is how a process that was created before is started.
type execStart struct {
	ID      string
	Detach  bool // with a terminal: no client takes it
	Streams streamSet
	Size    WinSize
}

// execRequest is a request about one execution. Size is for resize, Signal for signals.
type execRequest struct {
	ID     string
	Size   WinSize
	Signal syscall.Signal
}

// handleExec creates and starts an execution in one.
func (m *monitor) handleExec(conn *wire.Conn, request wire.Message) error {
	var options ExecOptions
	if err := decodeRequest(request, &options); err != nil {
		return err
	}
	r := m.current()
	x, err := r.createExec(options)
	if err != nil {
		return err
	}
	start := execStart{ID: x.info.ID, Detach: options.Detach, Streams: options.Streams, Size: options.Size}
	return r.startExec(conn, x, start, request)
}

func (m *monitor) handleExecCreate(conn *wire.Conn, request wire.Message) error {
	var options ExecOptions
	if err := decodeRequest(request, &options); err != nil {
		return err
	}
	x, err := m.current().createExec(options)
	if err != nil {
		return err
	}
	return conn.Send(msgExecInfo, x.snapshot())
}

func (m *monitor) handleExecStart(conn *wire.Conn, request wire.Message) error {
	var start execStart
	if err := decodeRequest(request, &start); err != nil {
		return err
	}
	r := m.current()
	x, err := r.execs.find(start.ID)
	if err != nil {
		return err
	}
	return r.startExec(conn, x, start, request)
}

func (m *monitor) handleExecList(conn *wire.Conn, _ wire.Message) error {
	return conn.Send(msgExecList, m.current().execs.list())
}

// handleExecution answers the requests about one execution.
func (m *monitor) handleExecution(conn *wire.Conn, request wire.Message) error {
	var body execRequest
	if err := decodeRequest(request, &body); err != nil {
		return err
	}
	x, err := m.current().execs.find(body.ID)
	if err != nil {
		return err
	}
	switch request.Kind {
	case msgExecResize:
		err = x.resize(body.Size)
	case msgExecSignal:
		err = x.signal(body.Signal)
	}
	if err != nil {
		return err
	}
	return conn.Send(msgExecInfo, x.snapshot())
}
