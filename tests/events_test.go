package tests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shownEvent is an event as "rcrun events --format json" prints it.
type shownEvent struct {
	Type, Action string
	Actor        struct {
		ID         string
		Attributes map[string]string
	}
	Scope    string `json:"scope"`
	Time     int64  `json:"time"`
	TimeNano int64  `json:"timeNano"`
}

// text is the event in one line: action, name and the attributes that say more than which container it is.
func (e shownEvent) text() string {
	words := []string{e.Action, e.Actor.Attributes["name"]}
	for _, key := range slices.Sorted(maps.Keys(e.Actor.Attributes)) {
		if !slices.Contains([]string{"name", "image", "tier", "execID", "execDuration"}, key) {
			words = append(words, key+"="+e.Actor.Attributes[key])
		}
	}
	return strings.Join(words, " ")
}

// events returns what has been done up to now.
func (u *user) events(filters ...string) (all []shownEvent) {
	u.t.Helper()
	args := []string{"events", "--since", "0", "--until", "0s", "--format", "json"}
	for _, filter := range filters {
		args = append(args, "--filter", filter)
	}
	for line := range strings.Lines(u.run(args...)) {
		var event shownEvent
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			u.t.Fatalf("%s: %v", line, err)
		}
		all = append(all, event)
	}
	return all
}

// hasEvents compares the events that filters take with lines like those of text.
func (u *user) hasEvents(filters []string, want ...string) {
	u.t.Helper()
	var got []string
	for _, event := range u.events(filters...) {
		got = append(got, event.text())
	}
	if !slices.Equal(got, want) {
		u.t.Errorf("events %q:\n%s\nwant:\n%s", filters, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var ofContainers = []string{"type=container"}

// TestContainerEvents takes a container through its life: the events are Docker's, in its order and with its
// attributes.
func TestContainerEvents(t *testing.T) {
	u := newUserWithImage(t)
	id := u.run("create", "--name", "c1", "-l", "tier=front", "bb", "sh", "-c",
		"trap '' TERM; echo up; while :; do sleep 0.1; done")
	u.run("start", "c1")
	eventually(t, "the payload is up", func() bool { return u.run("logs", "c1") == "up" })
	u.try("exec", "c1", "sh", "-c", "exit 3")
	u.run("exec", "c1", "true")
	u.run("kill", "-s", "WINCH", "c1")
	u.run("stop", "-t", "1", "c1")
	u.run("start", "c1")
	u.run("kill", "c1")
	u.run("wait", "c1")
	u.run("start", "c1")
	u.run("rm", "-f", "c1")
	u.hasEvents(ofContainers, "create c1", "start c1",
		"exec_create: sh -c exit 3 c1", "exec_start: sh -c exit 3 c1", "exec_die c1 exitCode=3",
		"exec_create: true  c1", "exec_start: true  c1", "exec_die c1 exitCode=0",
		"kill c1 signal=28", "kill c1 signal=15", "kill c1 signal=9", "die c1 exitCode=137", "stop c1",
		"start c1", "kill c1 signal=9", "die c1 exitCode=137",
		"start c1", "kill c1 signal=9", "die c1 exitCode=137", "destroy c1")
	for _, event := range u.events(ofContainers...) {
		attributes := event.Actor.Attributes
		_, hasDuration := attributes["execDuration"]
		if event.Type != "container" || event.Actor.ID != id || attributes["image"] != "bb" ||
			attributes["tier"] != "front" || hasDuration != (event.Action == "die") ||
			(len(attributes["execID"]) == 64) != strings.HasPrefix(event.Action, "exec_") ||
			event.Scope != "local" || event.Time != event.TimeNano/1e9 {
			t.Errorf("%+v", event)
		}
	}
	u.hasEvents([]string{"container=c1", "event=die", "event=stop", "label=tier=front", "image=bb"},
		"die c1 exitCode=137", "stop c1", "die c1 exitCode=137", "die c1 exitCode=137")
	u.hasEvents([]string{"type=image", "container=c1"})
}

// TestRunEvents runs commands to their end, with a terminal too.
func TestRunEvents(t *testing.T) {
	u := newUserWithImage(t)
	u.try("run", "--rm", "--name", "gone", "bb", "sh", "-c", "exit 7")
	u.run("run", "-d", "--rm", "--name", "stopped", "bb", "sleep", "1000")
	u.run("stop", "-t", "0", "stopped")
	eventually(t, "the container is removed", func() bool { return u.run("ps", "-aq") == "" })
	u.fails(127, nil, "run", "--rm", "--name", "none", "bb", "no-such-command")
	term := u.onTerminal("run", "-it", "--name", "tty", "bb", "sh")
	term.expect("# ")
	term.types("\x10\x11")
	if code := term.wait(); code != 0 {
		t.Errorf("exit code %d after the detach keys", code)
	}
	term = u.onTerminal("exec", "-it", "tty", "sh")
	term.expect("# ")
	term.types("\x10\x11")
	if code := term.wait(); code != 0 {
		t.Errorf("exit code %d after the detach keys", code)
	}
	ended := func() bool { return len(u.events("event=exec_die")) == 1 }
	eventually(t, "the end of the terminal has ended the process", ended)
	u.run("run", "--name", "old", "bb", "true")
	u.run("container", "prune", "-f")
	u.hasEvents(ofContainers, "create gone", "attach gone", "start gone", "die gone exitCode=7", "destroy gone",
		"create stopped", "start stopped", "kill stopped signal=15", "kill stopped signal=9",
		"die stopped exitCode=137", "stop stopped", "destroy stopped",
		"create none", "attach none", "destroy none",
		"create tty", "attach tty", "start tty", "resize tty height=24 width=80", "detach tty",
		"exec_create: sh  tty", "exec_start: sh  tty", "exec_detach tty", "exec_die tty exitCode=129",
		"create old", "attach old", "start old", "die old exitCode=0", "destroy old", "prune  reclaimed=0")
}

// TestEventFormats prints an event in each form.
func TestEventFormats(t *testing.T) {
	u := newUserWithImage(t)
	id := u.run("create", "--name", "c1", "-l", "a=b\x1b[31m", "bb", "true")
	past := []string{"--since", "1h", "--until", "0s", "--filter", "container=c1"}
	line := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) container create ` + id +
		` \(a=b\\x1b\[31m, image=bb, name=c1\)$`)
	for _, command := range [][]string{{"events"}, {"system", "events"}} {
		if got := u.run(slices.Concat(command, past)...); !line.MatchString(got) {
			t.Errorf("%q prints %q", command, got)
		}
	}
	contains(t, u.run(append([]string{"events", "--no-trunc=false"}, past...)...), " create "+id[:12]+" (")
	u.prints("create c1", append([]string{"events", "--format", "{{.Action}} {{.Actor.Attributes.name}}"}, past...)...)
	contains(t, u.run(append([]string{"events", "--format", "{{json .}}"}, past...)...), `"Actor":{"ID":"`+id)
	u.fails(125, []string{"--since", "yesterday"}, "events", "--since", "yesterday")
	u.fails(125, []string{"--until", "tomorrow"}, "events", "--until", "tomorrow")
	u.fails(125, []string{"--filter", "key=value"}, "events", "-f", "die")
	u.fails(125, []string{"--filter", "colour", "container, daemon, event"}, "events", "-f", "colour=red")
	u.fails(125, []string{"template"}, "events", "--format", "{{.Nothing}}")
	u.fails(125, []string{"cannot be after"}, "events", "--since", "10m", "--until", "20m")
}

// follow starts "rcrun events" and returns its lines, and a function that ends it.
func (u *user) follow(args ...string) (lines *bufio.Reader, end func()) {
	u.t.Helper()
	cmd := u.cmd(append([]string{"events"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		u.t.Fatal(err)
	}
	return bufio.NewReader(stdout), func() {
		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, stdout)
		cmd.Wait()
	}
}

// TestFollowEvents follows while things are done, and ends at a time.
func TestFollowEvents(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "--name", "before", "bb", "true")
	lines, end := u.follow("--since", "1h", "--filter", "type=container",
		"--format", "{{.Action}} {{.Actor.Attributes.name}}")
	defer end()
	if line, err := lines.ReadString('\n'); line != "create before\n" {
		t.Errorf("%q, %v", line, err)
	}
	u.run("run", "--rm", "--name", "c1", "bb", "true")
	for _, want := range []string{"create c1\n", "attach c1\n", "start c1\n", "die c1\n", "destroy c1\n"} {
		if line, err := lines.ReadString('\n'); line != want {
			t.Errorf("%q, %v, want %q", line, err, want)
		}
	}
	soon := fmt.Sprint(time.Now().Add(2 * time.Second).Unix())
	u.prints("", "events", "--until", soon, "--filter", "type=volume")
}

// TestManyEvents runs twenty containers at once beside a follower: of each there is every event once, in order.
func TestManyEvents(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "--name", "first", "bb", "true")
	format := "{{.Actor.Attributes.name}} {{.Action}}"
	lines, end := u.follow("--since", "1h", "--filter", "type=container", "--format", format)
	defer end()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() { u.run("run", "--rm", "--name", fmt.Sprint("c", i), "bb", "true") })
	}
	all.Wait()
	u.run("rm", "first")
	got := map[string][]string{}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		name, action, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		got[name] = append(got[name], action)
		if name == "first" && action == "destroy" {
			break
		}
	}
	past := map[string][]string{}
	for _, event := range u.events(ofContainers...) {
		name := event.Actor.Attributes["name"]
		past[name] = append(past[name], event.Action)
	}
	want := []string{"create", "attach", "start", "die", "destroy"}
	for i := range 20 {
		name := fmt.Sprint("c", i)
		if !slices.Equal(got[name], want) || !slices.Equal(past[name], want) {
			t.Errorf("events of %s: followed %q, read afterwards %q", name, got[name], past[name])
		}
	}
}

// TestStartUponDeath starts a container as soon as an event says that it died.
func TestStartUponDeath(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "--name", "c1", "bb", "true")
	lines, end := u.follow("--since", "1h", "--filter", "event=die", "--format", "{{.Actor.Attributes.name}}")
	defer end()
	for range 5 {
		u.run("start", "c1")
		if line, err := lines.ReadString('\n'); line != "c1\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

// TestNoEvents has a journal that nothing can be written to: everything else works, and there is a warning.
func TestNoEvents(t *testing.T) {
	u := newUserWithImage(t)
	dir := u.path("home", ".local", "share", "rcrun", "events")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := u.try("run", "--rm", "bb", "echo", "output")
	if r.code != 0 || r.stdout != "output\n" || strings.Count(r.stderr, "warning:") != 1 {
		t.Errorf("exit code %d, printed %q and %q", r.code, r.stdout, r.stderr)
	}
	contains(t, r.stderr, dir)
	u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	u.run("exec", "c1", "true")
	u.run("rm", "-f", "c1")
	u.fails(125, []string{"events"}, "events")
}

// TestEventsOfDrivers wants the same of a store whose commands work in a user namespace.
func TestEventsOfDrivers(t *testing.T) {
	u := newUser(t)
	u.setenv("RCRUN_STORAGE_DRIVER", "vfs")
	u.importImage("bb", busyboxTree(t), "-c", `CMD ["sh"]`)
	u.run("run", "--rm", "--name", "c1", "bb", "true")
	u.run("rmi", "bb")
	u.hasEvents(ofContainers, "create c1", "attach c1", "start c1", "die c1 exitCode=0", "destroy c1")
	if events := u.events(ofImages...); len(events) != 4 || events[3].Action != "delete" {
		t.Errorf("%+v", events)
	}
}

// TestKilledEvents kills commands and monitors in the middle: what they leave is reported by the next command, once.
func TestKilledEvents(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "orphan", "bb", "sleep", "1000")
	monitor := u.monitorOf("orphan")
	if err := syscall.Kill(monitor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container has ended", func() bool { return !u.inspect("orphan").State.Running })
	u.run("start", "orphan")
	if err := syscall.Kill(u.monitorOf("orphan"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	u.run("rm", "-f", "orphan")
	u.hasEvents([]string{"container=orphan"}, "create orphan", "start orphan", "die orphan exitCode=137",
		"start orphan", "die orphan exitCode=137", "destroy orphan")

	for i := range 10 {
		run := u.cmd("run", "--name", fmt.Sprint("c", i), "bb", "true")
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 15 * time.Millisecond)
		run.Process.Kill()
		run.Wait() // it was killed
	}
	eventually(t, "no container runs", func() bool { return u.run("ps", "-q") == "" })
	for _, name := range strings.Fields(u.run("ps", "-a", "--format", "{{.Names}}")) {
		u.run("rm", "-f", name)
	}
	u.run("run", "--name", "last", "bb", "true")
	got := map[string][]string{}
	for _, event := range u.events(ofContainers...) {
		name := event.Actor.Attributes["name"]
		got[name] = append(got[name], event.Action)
	}
	full := []string{"create", "attach", "start", "die", "destroy"}
	for name, actions := range got {
		if name == "orphan" || name == "last" {
			continue
		}
		// A command that was killed has done a part of it; nothing comes twice or in another order.
		if !isPartOf(actions, full) || actions[len(actions)-1] != "destroy" {
			t.Errorf("events of %s: %q", name, actions)
		}
	}
	if !slices.Equal(got["last"], full[:4]) {
		t.Errorf("events of the last one: %q", got["last"])
	}
}

// isPartOf tells whether part is all with some left out.
func isPartOf(part, all []string) bool {
	for _, one := range all {
		if len(part) > 0 && part[0] == one {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// monitorOf returns the process id of a running container's monitor.
func (u *user) monitorOf(name string) int {
	u.t.Helper()
	text, err := os.ReadFile(u.path("home", ".local", "share", "rcrun", "containers", u.inspect(name).ID, "state.json"))
	var state struct{ Monitor struct{ Pid int } }
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil || state.Monitor.Pid == 0 {
		u.t.Fatalf("%s, %v", text, err)
	}
	return state.Monitor.Pid
}
