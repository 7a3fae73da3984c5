package engine

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/rcrun/rcrun/internal/wire"
)

// stdin is the payload's standard input, fed by whoever is attached.
type stdin struct {
	mu     sync.Mutex
	sink   *os.File
	closes bool // the payload sees the end of the first client's input
}

// copyFrom passes on all that a client sends, and closes its file.
func (s *stdin) copyFrom(client *os.File) {
	defer client.Close()
	_, err := io.Copy(s.sink, client)
	if s.closes && err == nil {
		s.close()
	}
}

func (s *stdin) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sink.Close() // a second time returns an error, and does no harm
}

// accept serves the container's socket until it is closed.
func (m *monitor) accept() {
	for {
		sock, err := m.listener.AcceptUnix()
		if err != nil {
			return
		}
		m.clients.Go(func() { m.handle(wire.New(sock)) })
	}
}

// handle serves one connection: a request, and what follows from it.
func (m *monitor) handle(conn *wire.Conn) {
	defer conn.Close()
	request, err := conn.Recv()
	if err != nil {
		return // it went away
	}
	switch request.Kind {
	case msgAttach:
		err = m.handleAttach(conn, request)
	case msgExec:
		err = m.handleExec(conn, request)
	case msgSignal:
		err = m.handleSignal(conn, request)
	case msgWait:
		m.clientSession(conn, func(wire.Message) {})
	default:
		err = errors.New("unknown request " + request.Kind)
		closeFiles(request.Files)
	}
	if err != nil {
		conn.Send(msgFailed, toFailure(err))
	}
}

func (m *monitor) handleAttach(conn *wire.Conn, request wire.Message) error {
	var body attachRequest
	if err := request.Decode(&body); err != nil {
		closeFiles(request.Files)
		return err
	}
	streams, err := body.Streams.take(request.Files)
	if err != nil {
		closeFiles(request.Files)
		return err
	}
	m.attach(streams)
	if err := conn.Send(msgStarted, startedReply{Pid: m.box.InitPid()}); err != nil {
		m.detach(streams)
		return nil // it went away
	}
	m.serveClient(conn, streams)
	return nil
}

func (m *monitor) handleSignal(conn *wire.Conn, request wire.Message) error {
	var body signalRequest
	if err := request.Decode(&body); err != nil {
		return err
	}
	if err := m.box.Signal(body.Signal); err != nil {
		return err
	}
	return conn.Send(msgDone, nil)
}

// serveClient stays with an attached client until the container ends or the client goes away, which may be long
// before.
func (m *monitor) serveClient(conn *wire.Conn, streams [3]*os.File) {
	m.clientSession(conn, func(message wire.Message) {
		switch message.Kind {
		case msgResize:
			var size WinSize
			if message.Decode(&size) == nil {
				m.resize(size)
			}
		case msgSignal:
			var body signalRequest
			if message.Decode(&body) == nil {
				if err := m.box.Signal(body.Signal); err != nil {
					slog.Error("forward a signal", "error", err)
				}
			}
		}
	})
	m.detach(streams)
}

// clientSession passes the client's messages to handle, and tells it the exit status when the container has ended.
func (m *monitor) clientSession(conn *wire.Conn, handle func(wire.Message)) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			message, err := conn.Recv()
			if err != nil {
				return
			}
			closeFiles(message.Files)
			handle(message)
		}
	}()
	select {
	case <-m.ended:
		conn.Send(msgExited, m.exit)
		conn.Close()
		<-gone
	case <-gone:
	}
}
