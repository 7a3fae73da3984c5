package engine

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/rcrun/rcrun/internal/process"
)

// The transitions of a container's state that its monitor makes, all of them through record.

// state returns what the record says of the container now.
func (m *monitor) state() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.c.State
}

// record changes the container's state, here and on disk. A state that cannot be written holds here all the same. A
// client that comes late must not change it: the state may be another monitor's by then.
func (m *monitor) record(change func(*State)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return conflictf("container %s has ended", m.c.Name)
	}
	change(&m.c.State)
	return m.c.writeState()
}

// recordStart notes that the payload is about to run.
func (m *monitor) recordStart(r *run) error {
	self, err := process.Identify(os.Getpid())
	if err != nil {
		return err
	}
	init, err := process.Identify(r.box.InitPid())
	if err != nil {
		init = process.ID{} // it has ended already
	}
	return m.record(func(s *State) {
		*s = State{Status: Running, Pid: r.box.InitPid(), Init: init, Monitor: self, RunDir: s.RunDir,
			StartedAt: time.Now().UTC()}
		if r.uplink != nil {
			s.Ports = publishedPorts(r.uplink.config.Ports)
		}
	})
}

// recordStopRequest notes that a user asked for the end of the container. Where that cannot be written, the container
// is stopped all the same.
func (m *monitor) recordStopRequest() {
	if err := m.record(func(s *State) { s.StopRequested = true }); err != nil {
		slog.Error("record that a stop was requested", "error", err)
	}
}

// networkChanged records what is wrong with the network of the running container.
func (m *monitor) networkChanged(problem string) {
	if problem == m.state().NetworkProblem {
		return
	}
	if problem != "" {
		slog.Error("the container has no network", "problem", problem)
	} else {
		slog.Info("the container has its network again")
	}
	if err := m.record(func(s *State) { s.NetworkProblem = problem }); err != nil {
		slog.Error("record the state of the network", "error", err)
	}
}

// recordFailure notes why the container did not start, or removes one that was to be removed.
func (m *monitor) recordFailure(cause error) error {
	eraser, err := m.startEraser()
	if err != nil {
		return err
	}
	if eraser != nil {
		return eraser.erase(m.c, m.lock)
	}
	return m.record(func(s *State) {
		*s = State{Status: m.before, RunDir: s.RunDir, ExitCode: ExitCode(cause), Error: cause.Error()}
	})
}

// recordExit notes how the container ended; with --rm it is removed instead, if that succeeds.
func (m *monitor) recordExit(eraser *eraser) error {
	var eraseErr error
	if eraser != nil {
		m.reportEnd()
		if eraseErr = eraser.erase(m.c, m.lock); eraseErr == nil {
			return nil
		}
	}
	return errors.Join(eraseErr, m.record(func(s *State) {
		*s = State{Status: Exited, RunDir: s.RunDir, ExitCode: m.exit.Code, Error: m.exit.Error,
			StartedAt: s.StartedAt, FinishedAt: time.Now().UTC(), StopRequested: s.StopRequested}
	}))
}
