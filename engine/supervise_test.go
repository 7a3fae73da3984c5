package engine

import (
	"os/exec"
	"testing"
	"time"

	"github.com/rcrun/rcrun/engine/events"
	"github.com/rcrun/rcrun/fusefs/mounted"
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
	m := &monitor{c: c, run: &run{}, lock: held, exit: Exit{Code: 7}, events: events.New(t.TempDir())}
	if err := m.recordExit(&eraser{cmd, conn}); err == nil {
		t.Error("no error tells of the removal that failed")
	}
	if err := c.refresh(); err != nil || c.State.Status != Exited || c.State.ExitCode != 7 ||
		c.State.FinishedAt.IsZero() {
		t.Errorf("%+v, %v", c.State, err)
	}
}

// server returns a filesystem server that runs a shell script, and nothing else.
func server(t *testing.T, script string) *fuseServer {
	t.Helper()
	conn, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	cmd := exec.Command("sh", "-c", script)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return watchFuse(cmd, mounted.Control{Conn: conn})
}

// TestServerThatEndsLate stops servers that do not end in time, or fail at their end: the container was served to its
// end, so they did not die under it. One that ends before it was asked to has died.
func TestServerThatEndsLate(t *testing.T) {
	slow := server(t, "exec sleep 1000")
	slow.stop(10 * time.Millisecond)
	failing := server(t, "sleep 0.2; exit 1")
	failing.stop(time.Minute)
	for name, s := range map[string]*fuseServer{"a slow one": slow, "a failing one": failing} {
		if death := (&run{fuse: s}).serverDeath(); death != "" {
			t.Errorf("%s: %s", name, death)
		}
	}
	dead := server(t, "kill -9 $$")
	<-dead.done
	dead.stop(time.Minute)
	if death := (&run{fuse: dead}).serverDeath(); death != "the filesystem server died (signal: killed)" {
		t.Errorf("a dead one: %q", death)
	}
}
