package tests

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stubborn starts a container that ignores SIGTERM.
func (u *user) stubborn(name string) {
	u.t.Helper()
	u.run("run", "-d", "--name", name, "bb", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
	eventually(u.t, "the payload is up", func() bool { return u.run("logs", name) == "up" })
}

// stopRequested tells whether the record of a container says that a user asked for its end.
func (u *user) stopRequested(name string) bool {
	u.t.Helper()
	text, err := os.ReadFile(u.path("home", ".local", "share", "rcrun", "containers", u.inspect(name).ID, "state.json"))
	var state struct{ StopRequested bool }
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil {
		u.t.Fatal(err)
	}
	return state.StopRequested
}

// TestKillStop kills the command that stops a container: the container is killed after the patience all the same.
func TestKillStop(t *testing.T) {
	u := newUserWithImage(t)
	u.stubborn("c1")
	asked := time.Now()
	stop := u.cmd("stop", "-t", "3", "c1")
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stop is recorded", func() bool { return u.stopRequested("c1") })
	stop.Process.Kill()
	stop.Wait() // it was killed
	if !u.inspect("c1").State.Running && time.Since(asked) < 3*time.Second {
		t.Error("the container was killed before its patience had run out")
	}
	u.prints("137", "wait", "c1")
	if took := time.Since(asked); took < 3*time.Second {
		t.Errorf("the container ended after %v", took)
	}
	if !u.stopRequested("c1") {
		t.Error("the record does not say that a user asked for the end")
	}
}

// TestImpatientStop stops a container that is being stopped with more patience.
func TestImpatientStop(t *testing.T) {
	u := newUserWithImage(t)
	u.stubborn("c1")
	stop := u.cmd("stop", "-t", "-1", "c1")
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stop is recorded", func() bool { return u.stopRequested("c1") })
	u.prints("c1", "stop", "-t", "1", "c1")
	if err := stop.Wait(); err != nil {
		t.Errorf("the patient stop: %v", err)
	}
	u.prints("137", "wait", "c1")
}

// TestStopIsRequested tells an end that a user asked for from others.
func TestStopIsRequested(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "--stop-timeout", "1", "bb", "sleep", "1000")
	u.run("kill", "-s", "WINCH", "c1")
	if u.stopRequested("c1") {
		t.Error("another signal counts as a stop")
	}
	u.run("kill", "c1")
	if !u.stopRequested("c1") {
		t.Error("kill does not count as a stop")
	}
	u.run("start", "c1")
	if u.stopRequested("c1") {
		t.Error("the stop before the start counts")
	}
	sendSignal(t, u.victims(monitorProcess)[0].pid, syscall.SIGTERM) // as at a shutdown
	u.prints("137", "wait", "c1")
	if u.stopRequested("c1") {
		t.Error("the end of a session counts as a stop of the user's")
	}
}

// TestStopOfStoppedProcesses stops and kills containers whose sandbox, or filesystem server, is stopped.
func TestStopOfStoppedProcesses(t *testing.T) {
	for _, process := range []string{sandboxProcess, fuseProcess} {
		for _, verb := range []string{"stop -t 1", "kill"} {
			t.Run(process+" "+verb, func(t *testing.T) {
				u := newUserWithImage(t)
				u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
				sendSignal(t, u.victims(process)[0].pid, syscall.SIGSTOP)
				u.run(append(strings.Fields(verb), "c1")...)
				s := u.inspect("c1").State
				if s.Status != "exited" || s.ExitCode != 137 || s.Error != "" {
					t.Errorf("the container is %s with exit code %d and error %q", s.Status, s.ExitCode, s.Error)
				}
				u.noLeftovers()
			})
		}
	}
}

// TestStoppedMonitor stops and kills a container whose monitor is stopped: the commands say so, and rm -f helps.
func TestStoppedMonitor(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	sendSignal(t, u.victims(monitorProcess)[0].pid, syscall.SIGSTOP)
	for _, verb := range []string{"stop", "kill"} {
		u.fails(125, []string{"monitor", "does not answer"}, verb, "c1")
	}
	u.prints("[]", "inspect", "-f", "{{.ExecIDs}}", "c1")
	u.run("rm", "-f", "c1")
	u.noLeftovers()
}
