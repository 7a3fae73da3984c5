package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/rcrun/rcrun/internal/rmtree"
)

// supervise serves clients until the payload ends, then takes everything down, records the end and lets the lock go.
// From then on the container can be started or removed by others; what remains is to give those who are attached the
// rest of the output, for as long as they take it.
func (m *monitor) supervise() {
	for _, listener := range m.sockets {
		m.sessions.Go(func() { m.accept(listener) })
	}
	go m.stopOnSignal()
	go m.watchServer()
	if m.uplink != nil {
		m.uplink.keep(m.dialPort, m.networkChanged)
	}
	status, err := m.box.Wait(context.Background())
	close(m.payloadEnded)
	eraser, eraserErr := m.startEraser()
	m.exit.Code = status.Code
	if err != nil {
		m.exit = Exit{Code: killedExit, Error: "the container was killed: " + err.Error()}
	}
	m.out.payloadEnded()
	m.err.payloadEnded()
	m.copying.Wait()
	m.out.end()
	m.err.end() // with a terminal nothing was copied there
	m.frozen.end()
	m.tearDown()
	m.exit.Error = cmp.Or(m.serverDeath(), m.exit.Error, m.state().NetworkProblem)
	if err := errors.Join(eraserErr, m.recordExit(eraser)); err != nil {
		slog.Error("record the end of the container", "error", err)
	}
	m.closeSocket() // before the lock goes: the next monitor uses the same directory
	m.reportEnd()   // before it, too: the next event of the container may be another process's
	m.lock.release()
	close(m.ended) // after it: who hears of the end may start the container again at once
	m.sessions.Wait()
}

// watchServer kills the container when its filesystem server dies.
func (m *monitor) watchServer() {
	if m.fuse == nil {
		return
	}
	<-m.fuse.done
	if m.fuse.err != nil {
		m.box.Kill() // an error means that the container has ended already
	}
}

// serverDeath says how the filesystem server died under the container, "" where it did not. It is called after
// tearDown, which waits for the server.
func (m *monitor) serverDeath() string {
	if m.fuse == nil || m.fuse.err == nil {
		return ""
	}
	return fmt.Sprintf("the filesystem server died (%v)", m.fuse.err)
}

// tearDown ends everything that start began. It waits for each, so that nothing is left afterwards.
func (m *monitor) tearDown() {
	if m.box != nil {
		if err := m.box.Close(); err != nil {
			slog.Error("end the container", "error", err)
		}
	}
	if m.uplink != nil {
		m.uplink.end()
	}
	if m.fuse != nil {
		m.fuse.stop(serverEndTime)
	}
	if m.log != nil {
		m.log.Close()
	}
}

// closeSocket comes after the end is recorded: until then, those who find the container running must be able to ask.
func (m *monitor) closeSocket() {
	for _, listener := range m.sockets {
		listener.Close()
	}
	err := rmtree.Remove(m.state().RunDir)
	if err = errors.Join(err, rmtree.Remove(m.c.path(socketName))); err != nil {
		slog.Error("remove the container's sockets", "error", err)
	}
}
