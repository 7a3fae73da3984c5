package tests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLifecycle(t *testing.T) {
	u := newUserWithImage(t)
	id := u.run("create", "--name", "guest", "bb", "sh", "-c",
		"echo started; trap 'echo stopping; exit 3' TERM; while :; do sleep 0.1; done")
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(id) {
		t.Fatalf("create printed %q", id)
	}
	u.prints("", "ps", "-q")
	contains(t, u.run("ps", "-a"), id[:12], "Created", "bb")
	u.fails(125, []string{"not running"}, "exec", "guest", "true")
	u.fails(125, []string{"not running"}, "kill", "guest")

	u.prints("guest", "start", "guest")
	contains(t, u.run("ps"), id[:12], "Up ")
	eventually(t, "the payload says so", func() bool { return u.run("logs", "guest") == "started" })
	u.fails(125, []string{"running"}, "rm", "guest")
	u.prints("guest", "stop", "guest")
	contains(t, u.run("ps", "-a"), "Exited (3)")
	u.prints("3", "wait", "guest")
	u.prints("started\nstopping", "logs", id[:6])
	u.prints("guest", "stop", "guest") // stopping what is stopped is no error

	u.prints("guest", "start", "guest")
	eventually(t, "the payload says so",
		func() bool { return strings.HasSuffix(u.run("logs", "guest"), "stopping\nstarted") })
	u.prints("guest", "kill", "guest")
	u.prints("137", "wait", "guest")
	u.prints("guest", "rm", "guest")
	u.prints("", "ps", "-aq")
	for _, verb := range []string{"start", "stop", "kill", "rm", "wait", "logs", "inspect"} {
		u.fails(125, []string{"no such"}, verb, "guest")
	}
	u.fails(125, []string{"no such"}, "exec", "guest", "true")
}

func TestStopEscalates(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "stubborn", "bb", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
	eventually(t, "the payload is up", func() bool { return u.run("logs", "stubborn") == "up" })
	u.run("stop", "-t", "1", "stubborn")
	u.prints("137", "wait", "stubborn")
	u.run("run", "-d", "--name", "polite", "bb", "sh", "-c", "trap 'exit 8' USR1; echo up; while :; do sleep 0.1; done")
	eventually(t, "the payload is up", func() bool { return u.run("logs", "polite") == "up" })
	u.run("kill", "-s", "USR1", "polite")
	u.prints("8", "wait", "polite")
}

func TestNames(t *testing.T) {
	u := newUserWithImage(t)
	var won, lost int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			r := u.try("create", "--name", "one", "bb", "true")
			mu.Lock()
			defer mu.Unlock()
			if r.code == 0 {
				won++
				return
			}
			lost++
			u.failed(r, 125, "one", "in use")
		})
	}
	all.Wait()
	if won != 1 || lost != 9 {
		t.Errorf("%d of 10 got the name", won)
	}
	if lines := strings.Fields(u.run("ps", "-aq")); len(lines) != 1 {
		t.Errorf("containers after the race: %q", lines)
	}
	u.run("rm", "one")
	u.run("create", "--name", "one", "bb", "true")
	u.fails(125, []string{"bad/name"}, "create", "--name", "bad/name", "bb", "true")
	// A name is made for those who give none, and prefixes of IDs are enough.
	id := u.run("create", "bb", "true")
	if !regexp.MustCompile(`(?m)\s[a-z]+_[a-z]+\d?$`).MatchString(u.run("ps", "-a")) {
		t.Errorf("no name was made:\n%s", u.run("ps", "-a"))
	}
	u.prints(id[:8], "rm", id[:8])
}

func TestRemoveOnExit(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--rm", "bb", "true")
	u.prints("", "ps", "-aq")
	u.run("run", "-d", "--rm", "--name", "c1", "bb", "sleep", "1000")
	u.run("stop", "-t", "0", "c1")
	eventually(t, "the container is removed", func() bool { return u.run("ps", "-aq") == "" })
}

func TestExec(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "--hostname", "box", "-e", "A=1", "-w", "/tmp", "bb", "sleep", "1000")
	u.prints("/tmp 1 box", "exec", "c1", "sh", "-c", "echo $PWD $A $(hostname)")
	u.prints("/etc 2", "exec", "-w", "/etc", "-e", "A=2", "c1", "sh", "-c", "echo $PWD $A")
	u.prints("1000:1000", "exec", "-u", "alice", "c1", "sh", "-c", "echo $(id -u):$(id -g)")
	contains(t, u.run("exec", "c1", "cat", "/proc/self/status"), "CapEff:\t00000000a80425fb",
		"CapBnd:\t00000000a80425fb", "Seccomp:\t2")
	contains(t, u.run("exec", "-u", "alice", "c1", "cat", "/proc/self/status"), "CapEff:\t0000000000000000")
	if r := u.try("exec", "c1", "sh", "-c", "echo err >&2; exit 7"); r.code != 7 || r.stderr != "err\n" {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if r := u.tryWith([]byte("through\n"), "exec", "-i", "c1", "cat"); r.stdout != "through\n" {
		t.Errorf("exec -i: %q", r.stdout)
	}
	if r := u.try("exec", "c1", "sh", "-c", "kill -9 $$"); r.code != 137 {
		t.Errorf("exit code %d of a killed command", r.code)
	}
	u.fails(127, []string{"no-such-command"}, "exec", "c1", "no-such-command")
	u.fails(126, []string{"not-executable"}, "exec", "c1", "/etc/not-executable")
	for _, name := range []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"} {
		u.prints("same", "exec", "c1", "sh", "-c", "[ $(readlink /proc/self/ns/"+name+") = $(readlink /proc/1/ns/"+name+
			") ] && echo same || echo "+name)
	}
	u.run("exec", "-d", "c1", "sh", "-c", "echo done >/tmp/done")
	eventually(t, "the detached command runs",
		func() bool { return u.try("exec", "c1", "cat", "/tmp/done").stdout == "done\n" })
	// A command that outlives its client does not keep the container from ending.
	u.run("exec", "-d", "c1", "sleep", "1000")
	u.run("kill", "c1")
	u.prints("137", "wait", "c1")
	u.noLeftovers()
}

func TestLogs(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "bb", "sh", "-c",
		"echo one; while [ ! -e /go ]; do sleep 0.1; done; echo two; echo three >&2; printf four")
	follow := u.cmd("logs", "-f", "c1")
	stdout, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	if line, err := lines.ReadString('\n'); line != "one\n" {
		t.Errorf("the first line is %q, %v", line, err)
	}
	u.run("exec", "c1", "touch", "/go")
	rest, _ := lines.ReadString(0)
	if rest != "two\nfour" {
		t.Errorf("what followed is %q", rest)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("logs -f: %v", err)
	}
	if r := u.try("logs", "c1"); r.stdout != "one\ntwo\nfour" || r.stderr != "three\n" {
		t.Errorf("logs afterwards: %q and %q", r.stdout, r.stderr)
	}
	if r := u.try("logs", "--tail", "1", "c1"); r.stdout+r.stderr != "four" && r.stdout+r.stderr != "three\n" {
		t.Errorf("the last line of two streams is %q and %q", r.stdout, r.stderr)
	}
	// Long lines and control characters come through unchanged.
	u.run("run", "--name", "long", "bb", "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; printf '\\n\\001\\033\"'")
	if got, want := u.run("logs", "long"), strings.Repeat("x", 100000)+"\n\001\033\""; got != want {
		t.Errorf("%d bytes of output came back as %d", len(want), len(got))
	}
	u.prints("\001\033\"", "logs", "--tail", "1", "long")
}

func TestWait(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "a1", "bb", "sh", "-c", "while [ ! -e /go ]; do sleep 0.1; done; exit 4")
	u.run("run", "-d", "--name", "b1", "bb", "sh", "-c", "exit 5")
	waited := make(chan result)
	go func() { waited <- u.try("wait", "a1", "b1") }()
	select {
	case r := <-waited:
		t.Errorf("wait did not wait: %q", r.stdout)
	case <-time.After(500 * time.Millisecond):
		u.run("exec", "a1", "touch", "/go")
		if r := <-waited; r.stdout != "4\n5\n" {
			t.Errorf("exit codes %q, want 4 and 5\n%s", r.stdout, r.stderr)
		}
	}
}

// inspection is what the tests look at of inspect's output.
type inspection struct {
	ID    string `json:"Id"`
	Name  string
	Image string
	Path  string
	Args  []string
	State struct {
		Status     string
		Running    bool
		Pid        int
		ExitCode   int
		Error      string
		StartedAt  time.Time
		FinishedAt time.Time
	}
	Config struct {
		Hostname, User, WorkingDir, Image string
		Env, Cmd, Entrypoint              []string
		Tty, OpenStdin                    bool
	}
	HostConfig struct {
		NetworkMode, UsernsMode    string
		ReadonlyRootfs, AutoRemove bool
		Binds                      []string
		ShmSize                    int64
	}
	Mounts []struct {
		Type, Source, Destination string
		RW                        bool
	}
	NetworkSettings struct {
		Ports map[string][]struct{ HostIP, HostPort string }
	}
}

func (u *user) inspect(name string) inspection {
	u.t.Helper()
	var all []inspection
	if err := json.Unmarshal([]byte(u.run("inspect", name)), &all); err != nil || len(all) != 1 {
		u.t.Fatalf("inspect %s: %d objects, %v", name, len(all), err)
	}
	return all[0]
}

func TestInspect(t *testing.T) {
	u := newUserWithImage(t)
	if err := os.Mkdir(u.path("home", "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	id := u.run("create", "--name", "c1", "--hostname", "box", "-u", "alice", "-w", "/tmp", "-e", "A=1", "-v",
		u.path("home", "data")+":/data:ro",
		"--network", "none", "--userns", "keep-id", "--read-only", "-i", "--entrypoint", "sh", "bb", "-c", "exit 6")
	i := u.inspect("c1")
	if i.ID != id || i.Name != "/c1" || i.Path != "sh" || len(i.Args) != 2 || i.Args[1] != "exit 6" ||
		!strings.HasPrefix(i.Image, "sha256:") {
		t.Errorf("identity: %+v", i)
	}
	if c := i.Config; c.Hostname != "box" || c.User != "alice" || c.WorkingDir != "/tmp" || c.Image != "bb" ||
		c.Env[0] != "A=1" || !c.OpenStdin || c.Tty ||
		len(c.Entrypoint) != 1 || len(c.Cmd) != 2 {
		t.Errorf("Config: %+v", c)
	}
	if h := i.HostConfig; h.NetworkMode != "none" || h.UsernsMode != "keep-id" || !h.ReadonlyRootfs || h.AutoRemove ||
		h.ShmSize != 64<<20 ||
		len(h.Binds) != 1 {
		t.Errorf("HostConfig: %+v", h)
	}
	if len(i.Mounts) != 1 || i.Mounts[0].Type != "bind" || i.Mounts[0].Source != u.path("home", "data") ||
		i.Mounts[0].Destination != "/data" || i.Mounts[0].RW {
		t.Errorf("Mounts: %+v", i.Mounts)
	}
	if i.State.Status != "created" || i.State.Running || i.State.Pid != 0 {
		t.Errorf("State of a new container: %+v", i.State)
	}
	before := time.Now()
	u.run("start", "c1")
	u.prints("6", "wait", "c1")
	s := u.inspect(id[:10]).State
	if s.Status != "exited" || s.Running || s.ExitCode != 6 || s.StartedAt.Before(before.Add(-time.Second)) ||
		s.FinishedAt.Before(s.StartedAt) {
		t.Errorf("State of an exited container: %+v", s)
	}
	u.run("run", "-d", "--name", "d1", "bb", "sleep", "1000")
	if s := u.inspect("d1").State; s.Status != "running" || !s.Running || commandLine(s.Pid) != "sleep 1000" {
		t.Errorf("State of a running container: %+v", s)
	}
}

func TestVersionAndInfo(t *testing.T) {
	u := newUser(t)
	contains(t, strings.ToLower(u.run("version")), "version", "go1.")
	contains(t, u.run("info"), "/dev/fuse", "slirp4netns", u.path("home"))
	contains(t, u.run("--help"), "run", "exec", "pull")
	u.fails(125, []string{"no-such-verb"}, "no-such-verb")
	u.fails(125, []string{"no-such-verb", "rcrun image"}, "image", "no-such-verb")
}

// TestLogTimes limits logs to a span of time.
func TestLogTimes(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "c1", "bb", "sh", "-c", "echo one; sleep 1.1; echo two")
	var at [2]time.Time
	second := ""
	for i, line := range strings.Split(u.run("logs", "-t", "c1"), "\n") {
		var err error
		second, _, _ = strings.Cut(line, " ")
		if at[i], err = time.Parse(time.RFC3339Nano, second); err != nil {
			t.Fatal(err)
		}
	}
	middle := at[0].Add(at[1].Sub(at[0]) / 2)
	between := fmt.Sprintf("%d.%09d", middle.Unix(), middle.Nanosecond())
	u.prints("two", "logs", "--since", between, "c1")
	u.prints("one", "logs", "--until", between, "c1")
	u.prints("one", "logs", "-f", "--until", between, "c1")
	u.prints("one\ntwo", "logs", "--tail", "-1", "--since", "2020-01-01", "c1")
	u.prints("", "logs", "--until", "2020-01-01", "c1")
	u.prints(second+"  two", "logs", "-t", "--details", "--tail", "1", "c1")
	u.fails(125, []string{"--since", "yesterday"}, "logs", "--since", "yesterday", "c1")
	u.fails(125, []string{"--until", "yesterday"}, "logs", "--until", "yesterday", "c1")
}

// TestStopSignal chooses the signal and the patience of stop.
func TestStopSignal(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "bb", "sh", "-c",
		"trap 'exit 7' USR1; trap '' TERM; echo up; while :; do sleep 0.1; done")
	eventually(t, "the trap", func() bool { return u.run("logs", "c1") == "up" })
	u.fails(125, []string{"invalid signal"}, "stop", "--signal", "NOSUCH", "c1")
	u.prints("c1", "stop", "-s", "SIGUSR1", "--timeout", "-1", "c1")
	u.prints("7", "wait", "c1")
	u.run("start", "c1")
	u.prints("c1", "stop", "--timeout", "0", "c1")
	u.prints("137", "wait", "c1")
}

// TestExecWorkingDirectory executes commands where they cannot be: the exit code says so, as for a command that is not
// there.
func TestExecWorkingDirectory(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	u.prints("/bin", "exec", "-w", "/bin", "c1", "pwd")
	u.fails(127, []string{"/nosuch", "no such file or directory"}, "exec", "-w", "/nosuch", "c1", "true")
	u.fails(127, []string{"/bin/busybox", "not a directory"}, "exec", "-w", "/bin/busybox", "c1", "true")
}
