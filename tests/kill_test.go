package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	identity "github.com/rcrun/rcrun/internal/process"
)

// process is a running process.
type process struct {
	pid   int
	start uint64 // tells it from a later one of the same number
	args  []string
}

func newProcess(pid int) process {
	id, _ := identity.Identify(pid) // one that is gone has none
	return process{pid: pid, start: id.Start, args: strings.Split(commandLine(pid), " ")}
}

// kill ends a process, and never another one that has got its number.
func (p process) kill(t *testing.T) {
	t.Helper()
	if err := (identity.ID{Pid: p.pid, Start: p.start}).Kill(); err != nil {
		t.Errorf("%s: %v", strings.Join(p.args, " "), err)
	}
}

// isServer tells whether a process serves a filesystem.
func (p process) isServer() bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid))
	return slices.ContainsFunc(files, func(file string) bool {
		target, err := os.Readlink(file)
		return err == nil && target == "/dev/fuse"
	})
}

// gone tells whether a process has ended, with all of its threads: as long as one of them is there, so is what it has
// open, its locks among them.
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
	slirpProcess   = "slirp4netns"
	eraseProcess   = "rcrun-erase"
)

// TestKillAnyProcess kills each process of a container that runs, in turn. Whatever dies, ps and rm -f must work and
// nothing may be left. TestKillEraser kills the one that there is only at the end.
func TestKillAnyProcess(t *testing.T) {
	for _, name := range []string{monitorProcess, fuseProcess, sandboxProcess, slirpProcess, "init", "payload"} {
		t.Run(name, func(t *testing.T) {
			u := newUserWithImage(t)
			id := u.run("run", "-d", "--init", "--name", "victim", "bb", "sleep", "1000")
			u.victims(name)[0].kill(t)

			contains(t, u.run("ps", "-aq", "--no-trunc"), id)
			u.run("inspect", "victim")
			u.removeVictim()
		})
	}
}

// removeVictim removes a container of which a process was killed, and makes another one of its name.
func (u *user) removeVictim() {
	u.t.Helper()
	u.run("rm", "-f", "victim")
	u.noLeftovers()
	u.prints("", "ps", "-aq")
	u.prints("again", "run", "--rm", "--name", "victim", "bb", "echo", "again")
}

// TestKillEraser kills the process that removes a container of --rm when it has ended.
func TestKillEraser(t *testing.T) {
	u := newUserWithImage(t)
	const attempts = 50
	for range attempts { // it may have done its work before it is found
		u.run("run", "-d", "--rm", "--network=none", "--name", "victim", "bb", "sleep", "1000")
		u.victims("payload")[0].kill(t)
		caught := u.killsEraser()
		u.run("ps", "-a")
		u.removeVictim()
		if caught {
			return
		}
	}
	t.Errorf("none of %d containers was seen to be removed", attempts)
}

// killsEraser kills the process that removes a container, and tells whether it did that before the monitor ended.
func (u *user) killsEraser() (caught bool) {
	u.t.Helper()
	eventually(u.t, "the container is removed", func() bool {
		erasers := u.processes(eraseProcess)
		for _, p := range erasers {
			p.kill(u.t)
		}
		caught = len(erasers) > 0
		return caught || len(u.processes(monitorProcess)) == 0
	})
	return caught
}

// victims returns the user's processes that play a part in containers.
func (u *user) victims(name string) []process {
	u.t.Helper()
	var found []process
	switch name {
	case "payload":
		found = u.inside("sleep 1000")
	case "init":
		found = []process{newProcess(u.inspect("victim").State.Pid)}
	default:
		found = u.processes(name)
	}
	if len(found) == 0 {
		u.t.Fatalf("there is no process %s among\n%s", name, u.leftovers())
	}
	return found
}

// inside returns the processes inside the user's containers with the command line.
func (u *user) inside(command string) []process {
	var found []process
	for _, pid := range family() {
		if commandLine(pid) == command && !u.named(pid) && u.began(pid) {
			found = append(found, newProcess(pid))
		}
	}
	return found
}

// TestKillClient kills the command that started a container in the foreground: the container goes on.
func TestKillClient(t *testing.T) {
	u := newUserWithImage(t)
	client := u.cmd("run", "--rm", "--name", "victim", "bb", "sh", "-c",
		"echo up; while [ ! -e /stop ]; do sleep 0.1; done; exit 5")
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

// TestKillMonitorOfOtherUser kills the monitor of a container whose first process has changed its user, and so does not
// end with it: it ends when the container is started again or removed.
func TestKillMonitorOfOtherUser(t *testing.T) {
	u := newUserWithImage(t)
	for _, last := range [][]string{{"rm", "-f", "victim"}, {"start", "victim"}} {
		u.run("run", "-d", "--network=none", "--name", "victim", "bb", "su", "-s", "/bin/sh", "alice", "-c",
			"exec sleep 1000")
		pid := u.inspect("victim").State.Pid
		monitor := u.victims(monitorProcess)[0]
		monitor.kill(t)
		// Until it has ended, the container runs as far as its lock says, and start does nothing.
		eventually(t, "the monitor ends", monitor.gone)
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
	eventually(t, "the file is written again",
		func() bool { return strings.HasSuffix(u.run("logs", "victim"), "kept\nkept") })
	u.run("rm", "-f", "victim")
}
