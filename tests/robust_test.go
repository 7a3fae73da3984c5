package tests

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/tests/patience"
)

// TestClientDoesNotRead has a client that takes no output: it delays neither the container's end nor its removal, and
// gets what it has not read yet, later.
func TestClientDoesNotRead(t *testing.T) {
	u := newUserWithImage(t)
	client := u.cmd("run", "--name", "talker", "--network", "none", "bb", "sh", "-c",
		"yes 0123456789abcdef | head -c 400000; touch /done; sleep 1000")
	stdout, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container is not held up by a client with a small backlog", func() bool {
		return u.try("exec", "talker", "cat", "/done").code == 0
	})
	u.run("kill", "talker")
	contains(t, u.run("ps", "-a"), "Exited (137)")
	u.run("rm", "talker")
	text, err := io.ReadAll(stdout)
	if err != nil || len(text) != 400000 {
		t.Errorf("the client got %d bytes in the end, %v", len(text), err)
	}
	if err := client.Wait(); err == nil || exitCode(client.ProcessState) != 137 {
		t.Errorf("the client ended with %v", err)
	}
}

// TestOutputWithoutReader ends a command whose output nobody reads any more, and leaves its container alone.
func TestOutputWithoutReader(t *testing.T) {
	u := newUserWithImage(t)
	r := u.finish(u.command("sh", "-c",
		`$RCRUN run --name talker --network none bb sh -c 'while :; do echo y; done' | head -n 1`))
	if r.stdout != "y\n" {
		t.Errorf("got %q\n%s", r.stdout, r.stderr)
	}
	u.prints("talker", "ps", "--format", "{{.Names}}")
	u.run("rm", "-f", "talker")
}

// TestStoppedProcesses removes containers whose processes of ours do not answer.
func TestStoppedProcesses(t *testing.T) {
	for _, name := range []string{monitorProcess, sandboxProcess, fuseProcess} {
		t.Run(name, func(t *testing.T) {
			u := newUserWithImage(t)
			u.run("run", "-d", "--name", "victim", "--network", "none", "bb", "sleep", "1000")
			sendSignal(t, u.victims(name)[0].pid, syscall.SIGSTOP)
			u.run("rm", "-f", "victim")
			u.noLeftovers()
			u.prints("", "ps", "-aq")
		})
	}
}

// TestIdleConnection connects to a container's socket and says nothing.
func TestIdleConnection(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "--network", "none", "bb", "sleep", "1000")
	sockets, err := filepath.Glob(u.path("run", "rcrun", "*", "sock"))
	if err != nil || len(sockets) != 1 {
		t.Fatalf("sockets: %v, %v", sockets, err)
	}
	idle, err := net.Dial("unix", sockets[0])
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	u.run("kill", "c1")
	u.run("start", "c1")
	u.run("rm", "-f", "c1")
}

// TestExecLeavesChild returns from an exec whose child keeps its output open.
func TestExecLeavesChild(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "--network", "none", "bb", "sleep", "1000")
	u.limit = patience.Usual // sleep would take longer
	u.prints("done", "exec", "c1", "sh", "-c", "sleep 1000 & echo done")
	u.run("exec", "-dt", "c1", "sh", "-c", "sleep 0.2; echo later >/later")
	eventually(t, "a detached exec goes on",
		func() bool { return u.try("exec", "c1", "cat", "/later").stdout == "later\n" })
	u.run("rm", "-f", "c1")
}

// TestWaitWhileEnding asks for containers at the very moment when they end.
func TestWaitWhileEnding(t *testing.T) {
	u := newUserWithImage(t)
	for _, verb := range []string{"wait", "stop", "rm"} {
		for _, pause := range []string{"0", "0.02", "0.04", "0.06"} {
			u.run("run", "-d", "--name", "c1", "--network", "none", "bb", "sleep", pause)
			if verb == "rm" {
				u.run("rm", "-f", "c1")
				continue
			}
			u.run(verb, "c1")
			contains(t, u.run("ps", "-a"), "Exited (")
			u.run("rm", "c1")
		}
	}
}

// TestKilledWhileCreating kills rcrun at many moments of a creation. What is left does not block the name.
func TestKilledWhileCreating(t *testing.T) {
	u := newUserWithImage(t)
	for i := range 12 {
		client := u.cmd("create", "--name", "c1", "--network", "none", "bb", "true")
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 3 * time.Millisecond)
		client.Process.Kill()
		client.Wait() // it was killed, or had just ended
		u.run("rm", "-f", "c1")
		u.prints("ok", "run", "--rm", "--name", "c1", "--network", "none", "bb", "echo", "ok")
	}
	u.prints("", "ps", "-aq")
}

// TestDamagedRecord removes containers whose records cannot be read, and leaves the others visible.
func TestDamagedRecord(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "--name", "good", "bb", "true")
	for _, file := range []string{"config.v2.json", "hostconfig.json", "state.json"} {
		id := u.run("create", "--name", "bad", "bb", "true")
		record := u.path("home", ".local", "share", "rcrun", "containers", id, file)
		if err := os.WriteFile(record, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		u.prints("good", "ps", "-a", "--format", "{{.Names}}")
		u.fails(125, []string{record}, "inspect", "bad")
		u.fails(125, []string{"--force"}, "rm", "bad")
		u.run("rm", "-f", "bad")
	}
	u.run("rm", "good")
}

// TestInheritedFiles checks that what a shell has open is not held open by a container.
func TestInheritedFiles(t *testing.T) {
	u := newUserWithImage(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := u.cmd("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	cmd.ExtraFiles = []*os.File{write}
	u.succeeded(u.finish(cmd))
	write.Close()
	read.SetReadDeadline(time.Now().Add(patience.Of(patience.Usual)))
	if n, err := read.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("somebody still holds the pipe: %d bytes, %v", n, err)
	}
	u.run("rm", "-f", "c1")
}

// TestRefusedBeforeCreating leaves no container of a command that could not work.
func TestRefusedBeforeCreating(t *testing.T) {
	u := newUserWithImage(t)
	u.fails(125, []string{"not a TTY"}, "run", "-it", "--name", "c1", "bb", "true")
	u.fails(125, []string{"detach-keys"}, "run", "--detach-keys", "foo", "bb", "true")
	u.fails(125, []string{"host name"}, "run", "--hostname", "x\n1.1.1.1 evil", "bb", "true")
	u.fails(125, []string{"domain name"}, "run", "--domainname", "x\n1.1.1.1 evil", "bb", "true")
	for _, server := range []string{"notanip", "1.1.1.1\nnameserver 2.2.2.2", "", "fe80::1%a\nb", "1.1.1.1 2.2.2.2"} {
		u.fails(125, []string{"name server"}, "run", "--dns="+server, "bb", "true")
	}
	for _, entry := range []string{"db\r:1.1.1.1", "a\x1b[31m:1.1.1.1", "db:fe80::1%a\n2.2.2.2", "db:nowhere"} {
		u.fails(125, []string{"add-host"}, "run", "--add-host", entry, "bb", "true")
	}
	u.fails(125, []string{"/relative"}, "run", "-v", "x/relative:/x", "bb", "true")
	u.prints("", "ps", "-aq")
}

// TestTemplates prints by templates as Docker's users write them.
func TestTemplates(t *testing.T) {
	u := newUserWithImage(t)
	id := u.run("create", "--name", "c1", "bb", "true")
	u.prints(id+" created", "inspect", "-f", "{{.Id}} {{.State.Status}}", "c1")
	u.prints("/c1", "inspect", "-f", "{{.Name}}", "/c1")
	u.prints("c1\tCreated", "ps", "-a", "--format", `{{.Names}}\t{{.Status}}`)
	u.prints("NAMES   STATUS\nc1      Created", "ps", "-a", "--format", `table {{.Names}}\t{{.Status}}`)
	u.run("rm", "c1")
	if r := u.try("rm", "-f", "c1"); r.code != 0 || !strings.Contains(r.stderr, "no such container") {
		t.Errorf("rm -f of a container that is gone: %d, %q", r.code, r.stderr)
	}
}

// TestStartAttachesToRunning follows a container that runs already, and its log to its end with --rm.
func TestStartAttachesToRunning(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--rm", "--name", "c1", "--network", "none", "bb", "sh", "-c",
		"while [ ! -e /go ]; do sleep 0.05; done; echo went; exit 4")
	client, follower := u.cmd("start", "-a", "c1"), u.cmd("logs", "-f", "c1")
	var attached, followed bytes.Buffer
	client.Stdout, follower.Stdout = &attached, &followed
	for _, cmd := range []*exec.Cmd{client, follower} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the client is attached", func() bool { return attachedTo(client.Process.Pid) })
	u.run("exec", "c1", "touch", "/go")
	client.Wait()
	if err := follower.Wait(); err != nil || followed.String() != "went\n" {
		t.Errorf("the log ended with %v and %q", err, followed.String())
	}
	if code := exitCode(client.ProcessState); code != 4 || attached.String() != "went\n" {
		t.Errorf("the client ended with %d and %q", code, attached.String())
	}
}

// attachedTo tells whether a process has a socket open, as an attached client has.
func attachedTo(pid int) bool {
	links, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	if err != nil {
		return false
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:") {
			return true
		}
	}
	return false
}

// TestTerminalIsRestoredBySignal ends a command in raw mode by a signal.
func TestTerminalIsRestoredBySignal(t *testing.T) {
	u := newUserWithImage(t)
	term := u.onTerminal("run", "-it", "--name", "c1", "--network", "none", "bb", "sh")
	term.expect("# ")
	sendSignal(t, term.cmd.Process.Pid, syscall.SIGTERM)
	if code := term.wait(); code != 128+15 {
		t.Errorf("ended with %d", code)
	}
	if after := term.settings(); after.Lflag&unix.ICANON == 0 || after.Lflag&unix.ECHO == 0 ||
		after.Oflag&unix.OPOST == 0 {
		t.Errorf("the terminal is left in raw mode: %+v", after)
	}
	u.run("rm", "-f", "c1")
}

// TestNetworkDies notes the end of a slirp4netns that cannot be started again, because its port was taken.
func TestNetworkDies(t *testing.T) {
	u := newUserWithImage(t)
	port := freePort(t)
	u.run("run", "-d", "--name", "c1", "-p", fmt.Sprintf("127.0.0.1:%d:80", port), "bb", "sleep", "1000")
	defer u.takePort(port).Close()
	eventually(t, "the end of slirp4netns is noted",
		func() bool { return strings.Contains(u.inspect("c1").State.Error, "slirp4netns") })
	u.prints("alive", "exec", "c1", "echo", "alive")
	u.run("kill", "c1")
	contains(t, u.inspect("c1").State.Error, "slirp4netns")
	u.run("rm", "c1")
}

// TestWorkingDirectoryBelowMount makes a missing working directory where the mounts are.
func TestWorkingDirectoryBelowMount(t *testing.T) {
	u := newUserWithImage(t)
	if err := os.Mkdir(u.path("home", "src"), 0o700); err != nil {
		t.Fatal(err)
	}
	u.prints("/t/x", "run", "--rm", "--tmpfs", "/t", "-w", "/t/x", "bb", "pwd")
	u.prints("/src/build", "run", "--rm", "-v", "./src:/src", "-w", "/src/build", "bb", "pwd")
	if _, err := os.Stat(u.path("home", "src", "build")); err != nil {
		t.Error(err)
	}
}

// TestOneProcessor runs everything with a single thread for Go code: nothing may wait for another goroutine in a system
// call that only this one could end.
func TestOneProcessor(t *testing.T) {
	u := newUserWithImage(t)
	u.setenv("GOMAXPROCS", "1")
	u.run("run", "-d", "--name", "c1", "bb", "sh", "-c",
		"find / -xdev >/found; cp -r /etc /copy; rm -r /etc; sleep 1000")
	u.prints("8\n", "exec", "-i", "c1", "sh", "-c", "seq 8 | wc -l; echo")
	done := "test -s /found && test -e /copy/passwd && ! test -e /etc/passwd && echo done"
	eventually(t, "the container has done its work",
		func() bool { return u.try("exec", "c1", "sh", "-c", done).stdout == "done\n" })
	u.prints("running", "inspect", "-f", "{{.State.Status}}", "c1")
	u.prints("c1", "stop", "-t", "0", "c1")
	u.prints("exited 137", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c1")
	u.run("start", "c1")
	u.run("rm", "-f", "c1")
}

// TestUmaskThatDeniesTheOwner works with a umask under which nobody could open what he makes.
func TestUmaskThatDeniesTheOwner(t *testing.T) {
	u := newUser(t)
	tar := u.path("home", "tree.tar")
	if err := os.WriteFile(tar, busyboxTree(t), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `umask 0777; "$0" import "$1" bb && "$0" run --rm bb true && "$0" save -o saved.tar bb`
	u.succeeded(u.finish(u.command("sh", "-c", script, u.path("rcrun"), tar)))
	u.run("load", "-i", "saved.tar")
}
