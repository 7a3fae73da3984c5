package engine

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/runtime"
)

// stop asks the payload to end, and kills the container when its patience has run out. Each call brings a patience of
// its own, so the shortest one holds. The caller need not stay: a command that is killed has asked all the same.
func (m *monitor) stop(options StopOptions) error {
	r := m.current()
	r.askStop()
	sig, patience := m.c.stopMethod(options)
	if err := r.signal(sig); err != nil {
		return err
	}
	go func() {
		select {
		case <-r.payloadEnded:
		case <-afterOrNever(patience):
			r.signal(syscall.SIGKILL) // an error means that the container has ended meanwhile
		}
	}()
	return nil
}

// askStop notes that the end of the container is that of a stop, which has an event of its own.
func (r *run) askStop() {
	r.signals.Lock()
	defer r.signals.Unlock()
	r.stopAsked = true
}

// signal sends a signal to the payload and writes the event. After SIGKILL the container ends soon, whatever state its
// sandbox is in.
func (r *run) signal(sig syscall.Signal) error {
	r.signals.Lock()
	defer r.signals.Unlock()
	send := r.box.Signal
	if sig == syscall.SIGKILL {
		send = func(syscall.Signal) error { return r.box.Kill() }
	}
	if err := send(sig); err != nil {
		return err
	}
	if !r.endReported {
		r.m.reportSignal(sig)
	}
	return nil
}

// stopOnSignal stops the container as the stop command does when the monitor itself is asked to end, as at a shutdown
// or the end of a login session.
func (m *monitor) stopOnSignal() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	<-asked
	m.stop(StopOptions{}) // an error means that the container has ended
}

// handleStop answers as soon as the stop is under way, and tells the end like handleWait. A user asked for this stop:
// the record says so, since such a container must stay stopped.
func (m *monitor) handleStop(conn *wire.Conn, request wire.Message) error {
	var options StopOptions
	if err := decodeRequest(request, &options); err != nil {
		return err
	}
	m.recordStopRequest()
	if err := m.stop(options); err != nil && !errors.Is(err, runtime.ErrExited) {
		return err
	}
	if err := conn.Send(msgDone, nil); err != nil {
		return nil // the command is gone
	}
	m.converse(conn, nil, func(wire.Message) {})
	return nil
}

// userSignal sends a signal of a user's to the payload. One that asks for the end counts as a stop.
func (m *monitor) userSignal(sig syscall.Signal) error {
	if stopSignal, _ := m.c.stopMethod(StopOptions{}); sig == syscall.SIGKILL || sig == stopSignal {
		m.recordStopRequest()
	}
	return m.current().signal(sig)
}

func (m *monitor) handleSignal(conn *wire.Conn, request wire.Message) error {
	var body signalRequest
	if err := decodeRequest(request, &body); err != nil {
		return err
	}
	if err := m.userSignal(body.Signal); err != nil {
		return err
	}
	return conn.Send(msgDone, nil)
}
