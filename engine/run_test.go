package engine

import (
	"bytes"
	"io"
	"os"
	"testing"
)

// TestRunAgain has one monitor run a payload several times, as a policy will: the lock and the log are kept all the
// while, and a stop of one run is none of the next.
func TestRunAgain(t *testing.T) {
	e, c := created(t, "echo run; exit 2", nil)
	root, err := e.planRoot(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	m, err := takeContainer(startRequest{Dirs: e.Dirs, ID: c.ID, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	defer m.journal.close()
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	first := &attachment{}
	for range 3 {
		r, err := m.bringUp(first)
		if err != nil {
			t.Fatal(err)
		}
		if m.state().StopRequested || !locked(c.lockPath()) {
			t.Errorf("state %+v, locked %v", m.state(), locked(c.lockPath()))
		}
		m.recordStopRequest()
		m.watch(r)
		m.drain(r)
		r.takeDown()
		if m.exit.Code != 2 {
			t.Errorf("exit: %+v", m.exit)
		}
		first = nil
	}
	if err := m.recordExit(nil); err != nil {
		t.Error(err)
	}
	m.closeFiles()
	m.letGo()
	if err := c.refresh(); err != nil || c.State.Status != Exited || c.State.ExitCode != 2 || !c.State.StopRequested {
		t.Errorf("the record: %+v, %v", c.State, err)
	}
	if err := os.Remove(c.path(stateFile)); err != nil {
		t.Fatal(err)
	}
	m.recordStopRequest() // for a client that comes late
	if _, err := os.Lstat(c.path(stateFile)); err == nil {
		t.Error("a monitor without the lock writes the state")
	}
	if err := c.writeState(); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	err = c.Logs(t.Context(), LogOptions{Tail: -1}, &out, io.Discard)
	if err != nil || out.String() != "run\nrun\nrun\n" {
		t.Errorf("logs: %q, %v", out.String(), err)
	}
}
