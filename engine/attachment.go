package engine

import (
	"io"
	"log/slog"
	"os"
	"sync"

	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/internal/wire"
)

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

// resizeFor is resize at a client's request, of which there is an event.
func (m *monitor) resizeFor(size WinSize) {
	if m.current().resize(size) {
		m.reportSize(size)
	}
}
