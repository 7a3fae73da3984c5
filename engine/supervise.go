package engine

import (
	"cmp"
	"context"
	"errors"
	"log/slog"

	"github.com/rcrun/rcrun/internal/rmtree"
)

// oversee is the life of a monitor, phase by phase. What bringUp, watch, drain and takeDown do belongs to one run of
// the payload: a policy may repeat these, with the lock held. It returns the stage's exit code.
//
// A container that goes with its end is removed by another process, which is started as soon as the payload has ended,
// so that it is ready when all else is down.
//
// After letGo the container can be started or removed by other processes. The monitor then only gives the attached
// clients the rest of the output, for as long as they take it.
func (m *monitor) oversee(first *attachment) int {
	err := m.open()
	var r *run
	if err == nil {
		m.waiters = m.collectWaiters()
		r, err = m.bringUp(first)
	}
	if err != nil {
		return m.giveUp(first, err)
	}
	m.serve(first)
	m.watch(r)
	eraser, eraserErr := m.startEraser()
	m.drain(r)
	r.takeDown()
	m.exit.Error = cmp.Or(r.serverDeath(), m.exit.Error, m.state().NetworkProblem)
	if err := errors.Join(eraserErr, m.recordExit(eraser)); err != nil {
		slog.Error("record the end of the container", "error", err)
	}
	m.closeFiles()
	m.reportEnd() // before the lock goes, because who has it next may write the next event
	m.letGo()
	m.sessions.Wait()
	return 0
}

// giveUp ends the monitor of a container that did not start.
func (m *monitor) giveUp(first *attachment, cause error) int {
	cause = ExplainLimit(cause)
	err := errors.Join(cause, m.recordFailure(cause))
	m.closeFiles()
	m.letGo()
	for _, w := range m.waiters {
		tell(w.conn, err)
	}
	return refuse(first.conn, err)
}

// serve answers the client that started the container, and all others from now on.
func (m *monitor) serve(first *attachment) {
	r := m.current()
	// An error of this shows in what follows.
	first.conn.Send(msgStarted, startedReply{Pid: r.box.InitPid(), Warnings: r.warnings})
	m.sessions.Go(func() { m.serveAttached(first) })
	for _, w := range m.waiters {
		m.sessions.Go(func() { m.serveWaiter(w) })
	}
	for _, listener := range m.sockets {
		m.sessions.Go(func() { m.accept(listener) })
	}
	go m.stopOnSignal()
}

// watch waits for the end of the payload, and notes how it ended.
func (m *monitor) watch(r *run) {
	go r.watchServer()
	if r.uplink != nil {
		r.uplink.keep(r.dialPort, m.networkChanged)
	}
	status, err := r.box.Wait(context.Background())
	close(r.payloadEnded)
	m.exit = Exit{Code: status.Code}
	if err != nil {
		m.exit = Exit{Code: killedExit, Error: "the container was killed: " + err.Error()}
	}
}

// drain takes the rest of the payload's output, and waits for those who read its filesystem.
func (m *monitor) drain(r *run) {
	m.out.payloadEnded()
	m.err.payloadEnded()
	r.copying.Wait()
	m.out.end()
	m.err.end() // with a terminal nothing was copied there
	r.frozen.end()
}

// closeFiles closes what open made. The sockets come after the end is recorded, because until then those who find the
// container running must be able to ask; and before the lock goes, because the next monitor uses the same directory.
func (m *monitor) closeFiles() {
	if m.log != nil {
		m.log.Close()
	}
	for _, listener := range m.sockets {
		listener.Close()
	}
	err := rmtree.Remove(m.state().RunDir)
	if err = errors.Join(err, rmtree.Remove(m.c.path(socketName))); err != nil {
		slog.Error("remove the container's sockets", "error", err)
	}
}

// letGo lets the lock go and tells those who wait that the container has ended. Who hears of the end, by an event or by
// an answer, may start the container again at once.
func (m *monitor) letGo() {
	m.mu.Lock()
	m.over = true
	m.mu.Unlock()
	m.lock.release()
	close(m.ended)
}
