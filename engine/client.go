package engine

import (
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/own"
	"github.com/rcrun/rcrun/internal/wire"
)

// requestTime is how long one who connects may take to say what it wants.
const requestTime = 10 * time.Second

// stdin is the payload's standard input, fed by the attached clients.
type stdin struct {
	sink   *os.File
	closes bool // the payload sees the end of the first client's input
	once   sync.Once
}

// copyFrom passes on all that a client sends, and closes its file.
func (s *stdin) copyFrom(client *os.File) {
	defer client.Close()
	_, err := io.Copy(s.sink, client)
	if s.closes && err == nil {
		s.once.Do(func() { s.sink.Close() })
	}
}

// attachment is one who is attached to the payload's streams.
type attachment struct {
	conn    *wire.Conn
	streams [3]*os.File // nil where not attached
	outputs []*client   // of the streams that are outputs
}

// isAttached tells whether the client takes part in any stream: one that only starts the container does not.
func (a *attachment) isAttached() bool { return a.streams != [3]*os.File{} }

// attach connects the streams. From here on they are closed by those who copy.
func (m *monitor) attach(a *attachment) {
	r := m.current()
	switch in := a.streams[0]; {
	case in != nil && r.stdin != nil:
		go r.stdin.copyFrom(in)
	case in != nil:
		in.Close()
	}
	for i, out := range []*output{m.out, m.err} {
		if file := a.streams[i+1]; file != nil {
			c := newClient(file)
			a.outputs = append(a.outputs, c)
			out.attach(c)
		}
	}
}

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

func (m *monitor) handleAttach(conn *wire.Conn, request wire.Message) error {
	a, err := m.takeAttachment(conn, request)
	if err == nil {
		m.answerAttached(a)
	}
	return err
}

// takeAttachment attaches the client that asks for it.
func (m *monitor) takeAttachment(conn *wire.Conn, request wire.Message) (*attachment, error) {
	var body attachRequest
	err := decodeRequest(request, &body)
	a := &attachment{conn: conn}
	if err == nil {
		a.streams, err = body.Streams.take(request.Files)
	}
	if err != nil {
		wire.CloseFiles(request.Files)
		return nil, err
	}
	m.report(api.ActionAttach, nil)
	m.resizeFor(body.Size)
	m.attach(a)
	return a, nil
}

// answerAttached tells an attached client that the payload runs, and stays with it.
func (m *monitor) answerAttached(a *attachment) {
	a.conn.Send(msgStarted, startedReply{Pid: m.current().box.InitPid()}) // an error shows in what follows
	m.serveAttached(a)
}

// serveAttached stays with an attached client until the container ends or the client goes away, which may be long
// before.
func (m *monitor) serveAttached(a *attachment) {
	m.converse(a.conn, a.outputs, func(message wire.Message) {
		switch message.Kind {
		case msgResize:
			var size WinSize
			if message.Decode(&size) == nil {
				m.resizeFor(size)
			}
		case msgDetach:
			m.report(api.ActionDetach, nil)
		case msgSignal:
			var body signalRequest
			if message.Decode(&body) == nil {
				if err := m.userSignal(body.Signal); err != nil {
					slog.Error("forward a signal", "error", err)
				}
			}
		}
	})
	for _, c := range a.outputs {
		c.drop()
	}
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

// resizeFor is resize at a client's request, of which there is an event.
func (m *monitor) resizeFor(size WinSize) {
	if m.current().resize(size) {
		m.reportSize(size)
	}
}
