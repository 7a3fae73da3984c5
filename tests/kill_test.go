package tests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func (p process) kill(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Errorf("kill process %d (%s): %v", p.pid, strings.Join(p.args, " "), err)
	}
}

// gone tells whether a process has ended, with all of its threads: as long as one of them is there, so is what it has open,
// its locks among them.
func (p process) gone() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.pid))
	for _, stat := range threads {
		if text, err := os.ReadFile(stat); err == nil && !strings.Contains(string(text), ") Z ") {
			return false
		}
	}
	return true
}

// The processes of a container by argv[0]; the payload's is the container's own.
const (
	monitorProcess = "rcrun-monitor"
	fuseProcess    = "rcrun-fuse"
	sandboxProcess = "rcrun-sandbox"
)

// TestKillAnyProcess kills each process of a container in turn. Whatever dies, ps and rm -f must work and nothing
// may be left.
func TestKillAnyProcess(t *testing.T) {
	for _, name := range []string{monitorProcess, fuseProcess, sandboxProcess, "payload"} {
		t.Run(name, func(t *testing.T) {
			u := newUserWithImage(t)
			id := u.run("run", "-d", "--name", "victim", "bb", "sleep", "1000")
			u.victims(name)[0].kill(t)

			contains(t, u.run("ps", "-aq", "--no-trunc"), id)
			u.run("inspect", "victim")
			u.run("rm", "-f", "victim")
			u.noLeftovers()
			u.prints("", "ps", "-aq")
			u.prints("again", "run", "--rm", "--name", "victim", "bb", "echo", "again")
		})
	}
}

// victims returns the user's processes that play a part in containers.
func (u *user) victims(name string) []process {
	u.t.Helper()
	var found []process
	if name == "payload" {
		found = u.inside("sleep 1000")
	} else {
		found = u.processes(name)
	}
	if len(found) == 0 {
		u.t.Fatalf("there is no process %s among\n%s", name, strings.Join(u.leftovers(), "\n"))
	}
	return found
}

// inside returns the processes inside the user's containers with the command line.
func (u *user) inside(command string) []process {
	var found []process
	for _, pid := range allProcesses() {
		if commandLine(pid) == command && u.inContainer(pid) {
			found = append(found, process{pid: pid, args: strings.Fields(command)})
		}
	}
	return found
}

// TestKillClient kills the command that started a container in the foreground: the container goes on.
func TestKillClient(t *testing.T) {
	u := newUserWithImage(t)
	client := u.cmd("run", "--rm", "--name", "victim", "bb", "sh", "-c", "echo up; while [ ! -e /stop ]; do sleep 0.1; done; exit 5")
	stdout, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	client.Process.Kill()
	client.Wait() // it was killed

	contains(t, u.run("ps"), "victim")
	u.prints("still here", "exec", "victim", "echo", "still here")
	u.run("exec", "victim", "touch", "/stop")
	eventually(t, "the container removes itself", func() bool { return u.run("ps", "-aq") == "" })
	u.noLeftovers()
}

// TestKillMonitorOfOtherUser kills the monitor of a container whose first process has changed its user, and so does not end
// with it: it ends when the container is started again or removed.
func TestKillMonitorOfOtherUser(t *testing.T) {
	u := newUserWithImage(t)
	for _, last := range [][]string{{"rm", "-f", "victim"}, {"start", "victim"}} {
		u.run("run", "-d", "--network=none", "--name", "victim", "bb", "su", "-s", "/bin/sh", "alice", "-c", "exec sleep 1000")
		pid := u.inspect("victim").State.Pid
		u.victims(monitorProcess)[0].kill(t)
		u.run(last...)
		eventually(t, "the first process ends", func() bool { return process{pid: pid}.gone() })
		u.run("rm", "-f", "victim")
	}
}

// TestKillPayload checks that death by a signal shows in the exit code.
func TestKillPayload(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "victim", "bb", "sleep", "1000")
	u.victims("payload")[0].kill(t)
	u.prints("137", "wait", "victim")
	contains(t, u.run("ps", "-a"), "Exited (137)")
	u.run("start", "victim")
	contains(t, u.run("ps"), "victim")
	u.run("rm", "-f", "victim")
}

// TestKillEverythingAtOnce is a crash of the machine, as far as processes are concerned: afterwards the container
// has exited, and can be started.
func TestKillEverythingAtOnce(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "victim", "bb", "sh", "-c", "echo kept >>/file; cat /file; sleep 1000")
	eventually(t, "the file is written", func() bool { return u.run("logs", "victim") == "kept" })
	killed := u.processes("")
	for _, p := range killed {
		p.kill(t)
	}
	// One that is about to end shows nothing any more that tells whose it is, and still holds its locks.
	eventually(t, "all processes end", func() bool {
		for _, p := range append(u.processes(""), killed...) {
			if !p.gone() {
				return false
			}
		}
		return true
	})
	contains(t, u.run("ps", "-a"), "Exited")
	u.run("start", "victim")
	eventually(t, "the file is written again", func() bool { return strings.HasSuffix(u.run("logs", "victim"), "kept\nkept") })
	u.run("rm", "-f", "victim")
}
