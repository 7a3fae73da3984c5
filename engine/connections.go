package engine

import (
	"net"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/own"
	"github.com/rcrun/rcrun/internal/wire"
)

// requestTime is how long one who connects may take to say what it wants.
const requestTime = 10 * time.Second

// accept serves a socket of the container's until it is closed. Others than the container's owner are not served, even
// if the modes of the directories above let them through.
func (m *monitor) accept(listener *net.UnixListener) {
	for {
		sock, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		if err := own.CheckPeer(sock); err != nil {
			sock.Close()
			continue
		}
		m.sessions.Go(func() { m.handle(wire.New(sock)) })
	}
}

// handle serves one connection: a request, and what follows from it.
func (m *monitor) handle(conn *wire.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(requestTime))
	request, err := conn.Recv()
	if err != nil {
		return // it went away
	}
	conn.SetDeadline(time.Time{})
	m.dispatch(conn, request)
}

// dispatch serves a connection that opened with a request.
func (m *monitor) dispatch(conn *wire.Conn, request wire.Message) {
	if request.Kind != msgAttach { // what is attached is closed when it has been copied, which may be later
		defer wire.CloseFiles(request.Files)
	}
	serve := m.requests()[request.Kind]
	if serve == nil {
		serve = unknownRequest
	}
	if err := serve(conn, request); err != nil {
		tell(conn, err)
	}
}

// requests are what a connection may open with, and what serves it.
func (m *monitor) requests() map[string]func(*wire.Conn, wire.Message) error {
	return map[string]func(*wire.Conn, wire.Message) error{
		msgAttach:      m.handleAttach,
		msgWait:        m.handleWait,
		msgSignal:      m.handleSignal,
		msgStop:        m.handleStop,
		msgFreeze:      m.handleFreeze,
		msgExec:        m.handleExec,
		msgExecCreate:  m.handleExecCreate,
		msgExecStart:   m.handleExecStart,
		msgExecList:    m.handleExecList,
		msgExecInspect: m.handleExecution,
		msgExecResize:  m.handleExecution,
		msgExecSignal:  m.handleExecution,
	}
}

// unknownRequest answers a command of another version.
func unknownRequest(_ *wire.Conn, request wire.Message) error {
	return fault.Errorf(errdefs.ErrNotImplemented, "unknown request %s", request.Kind)
}

// handleWait tells the client how the container ends.
func (m *monitor) handleWait(conn *wire.Conn, _ wire.Message) error {
	m.converse(conn, nil, func(wire.Message) {})
	return nil
}

// converse passes a client's messages to handle. It ends when the client goes away, and otherwise, when the container
// has ended and the client has all of the output, by telling it the exit status. A client whose output has no reader
// any more is told so.
func (m *monitor) converse(conn *wire.Conn, outputs []*client, handle func(wire.Message)) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			message, err := conn.Recv()
			if err != nil {
				return
			}
			wire.CloseFiles(message.Files)
			handle(message)
		}
	}()
	for _, c := range outputs {
		select {
		case <-gone:
			return
		case <-c.gone:
			if c.isBroken() {
				conn.Send(msgHangup, nil)
			}
		}
	}
	select {
	case <-gone:
		return
	case <-m.ended:
		conn.Send(msgExited, m.exit)
	}
	conn.Close()
	<-gone
}
