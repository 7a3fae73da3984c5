package engine

import (
	"os/exec"
	"testing"

	"github.com/rcrun/rcrun/internal/wire"
)

// TestExitOfWhatIsNotErased has the process killed that removes the container: how it ended is recorded all the same.
func TestExitOfWhatIsNotErased(t *testing.T) {
	c := logged(t)
	conn, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	held, err := newLock(c.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	defer held.release()
	m := &monitor{c: c, lock: held, exit: Exit{Code: 7}}
	if err := m.recordExit(&eraser{cmd, conn}); err == nil {
		t.Error("no error tells of the removal that failed")
	}
	if err := c.refresh(); err != nil || c.State.Status != Exited || c.State.ExitCode != 7 || c.State.FinishedAt.IsZero() {
		t.Errorf("%+v, %v", c.State, err)
	}
}
