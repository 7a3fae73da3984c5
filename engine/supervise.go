package engine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rcrun/rcrun/internal/process"
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
	failed := make(chan string, 1)
	go m.watchServer(failed)
	if m.uplink != nil {
		m.uplink.keep(m.dialPort, m.networkChanged)
	}
	status, err := m.box.Wait()
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
	m.exit.Error = cmp.Or(m.exit.Error, m.c.State.NetworkProblem)
	select {
	case m.exit.Error = <-failed:
	default:
	}
	if err := errors.Join(eraserErr, m.recordExit(eraser)); err != nil {
		slog.Error("record the end of the container", "error", err)
	}
	m.closeSocket() // before the lock goes: the next monitor uses the same directory
	m.lock.release()
	close(m.ended) // after it: who hears of the end may start the container again at once
	m.sessions.Wait()
}

// watchServer kills the container when its filesystem server dies, and says so. A server that ends without an error
// has seen its mount go away, which is what happens when the container ends.
func (m *monitor) watchServer(failed chan<- string) {
	if m.fuse == nil {
		return
	}
	<-m.fuse.done
	if m.fuse.err != nil {
		failed <- fmt.Sprintf("the filesystem server died (%v)", m.fuse.err)
		m.box.Signal(syscall.SIGKILL) // an error means that it has ended already
	}
}

// stopOnSignal stops the container as the stop command does when the monitor itself is asked to end, as at a shutdown
// or the end of a login session.
func (m *monitor) stopOnSignal() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	<-asked
	sig, patience := m.c.stopMethod(StopOptions{})
	m.box.Signal(sig)
	select {
	case <-m.payloadEnded:
	case <-afterOrNever(patience):
		m.box.Signal(syscall.SIGKILL)
	}
}

// tearDown ends everything that start began. It waits for each, so that nothing is left afterwards.
func (m *monitor) tearDown() {
	const patience = 2 * time.Second
	if m.box != nil {
		if err := m.box.Close(); err != nil {
			slog.Error("end the container", "error", err)
		}
	}
	if m.uplink != nil {
		m.uplink.end()
	}
	if m.fuse != nil {
		m.fuse.stop(patience)
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
	err := rmtree.Remove(m.c.State.RunDir)
	if err = errors.Join(err, rmtree.Remove(m.c.path(socketName))); err != nil {
		slog.Error("remove the container's sockets", "error", err)
	}
}

func (m *monitor) recordStart() error {
	self, err := process.Identify(os.Getpid())
	if err != nil {
		return err
	}
	init, err := process.Identify(m.box.InitPid())
	if err != nil {
		init = process.ID{} // it has ended already
	}
	m.c.State = State{Status: Running, Pid: m.box.InitPid(), Init: init, Monitor: self, RunDir: m.c.State.RunDir, StartedAt: time.Now().UTC()}
	if m.uplink != nil {
		m.c.State.Ports = publishedPorts(m.uplink.config.Ports)
	}
	return m.c.writeState()
}

// recordFailure notes why the container did not start, or removes one that was to be removed, and lets the lock go.
func (m *monitor) recordFailure(cause error) error {
	defer m.lock.release()
	eraser, err := m.startEraser()
	if err != nil {
		return err
	}
	if eraser != nil {
		return eraser.erase(m.c, m.lock)
	}
	m.c.State = State{Status: m.before, RunDir: m.c.State.RunDir, ExitCode: ExitCode(cause), Error: cause.Error()}
	return m.c.writeState()
}

// recordExit notes how the container ended; with --rm it is removed instead, if that succeeds.
func (m *monitor) recordExit(eraser *eraser) error {
	var eraseErr error
	if eraser != nil {
		if eraseErr = eraser.erase(m.c, m.lock); eraseErr == nil {
			return nil
		}
	}
	m.c.State = State{Status: Exited, RunDir: m.c.State.RunDir, ExitCode: m.exit.Code, Error: m.exit.Error,
		StartedAt: m.c.State.StartedAt, FinishedAt: time.Now().UTC()}
	return errors.Join(eraseErr, m.c.writeState())
}
