package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/tests/patience"
)

// terminal is a command on a pseudo-terminal of its own, with what it has printed so far.
type terminal struct {
	u      *user
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	done   chan struct{}

	mu     sync.Mutex
	screen string
	read   int // how much of screen was expected
}

// onTerminal starts "rcrun ARGS" as the foreground process of a new terminal of 24 lines and 80 columns.
func (u *user) onTerminal(args ...string) *terminal {
	u.t.Helper()
	term := &terminal{u: u, cmd: u.cmd(args...), done: make(chan struct{})}
	term.open()
	term.resize(24, 80)
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = term.slave, term.slave, term.slave
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	go term.copy()
	u.t.Cleanup(func() { term.master.Close(); term.slave.Close() })
	return term
}

func (term *terminal) open() {
	term.u.t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		term.u.t.Fatal(err)
	}
	term.master = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		term.u.t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		term.u.t.Fatal(err)
	}
	if term.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		term.u.t.Fatal(err)
	}
}

// copy collects what is printed until the terminal is closed.
func (term *terminal) copy() {
	defer close(term.done)
	buf := make([]byte, 4096)
	for {
		n, err := term.master.Read(buf)
		if err != nil {
			return
		}
		term.mu.Lock()
		term.screen += string(buf[:n])
		term.mu.Unlock()
	}
}

func (term *terminal) resize(rows, columns uint16) {
	term.u.t.Helper()
	size := unix.Winsize{Row: rows, Col: columns}
	if err := unix.IoctlSetWinsize(int(term.slave.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		term.u.t.Fatal(err)
	}
}

// types writes what somebody types.
func (term *terminal) types(text string) {
	term.u.t.Helper()
	if _, err := term.master.WriteString(text); err != nil {
		term.u.t.Fatal(err)
	}
}

// expect waits until text is printed after what was expected before.
func (term *terminal) expect(text string) {
	term.u.t.Helper()
	for w := patience.Begin(patience.Usual); ; time.Sleep(10 * time.Millisecond) {
		term.mu.Lock()
		i := strings.Index(term.screen[term.read:], text)
		if i >= 0 {
			term.read += i + len(text)
			term.mu.Unlock()
			return
		}
		screen := term.screen
		term.mu.Unlock()
		if w.Over() {
			term.u.t.Fatalf("the terminal does not show %q but\n%s", text, screen)
		}
	}
}

// settings are the terminal's modes, which must be the same before and after a command.
func (term *terminal) settings() unix.Termios {
	term.u.t.Helper()
	modes, err := unix.IoctlGetTermios(int(term.slave.Fd()), unix.TCGETS)
	if err != nil {
		term.u.t.Fatal(err)
	}
	return *modes
}

// wait returns the exit code of the command.
func (term *terminal) wait() int {
	term.u.t.Helper()
	ended := make(chan struct{})
	go func() {
		term.cmd.Wait() // the exit code is looked at below
		close(ended)
	}()
	if !patience.Begin(patience.Usual).Closed(ended) {
		term.cmd.Process.Kill()
		term.u.t.Fatalf("%v does not end; the terminal shows\n%s", term.cmd.Args[1:], term.screen)
	}
	return exitCode(term.cmd.ProcessState)
}

func TestTerminal(t *testing.T) {
	u := newUserWithImage(t)
	term := u.onTerminal("run", "--rm", "-it", "--name", "c1", "bb", "sh")
	term.expect("# ")
	term.types("tty; stty size\n")
	term.expect("/dev/pts/0\r\n")
	term.expect("24 80\r\n")

	term.resize(40, 132)
	// the kernel tells the foreground of the terminal that was resized
	sendSignal(t, term.cmd.Process.Pid, syscall.SIGWINCH)
	eventually(t, "the size inside follows",
		func() bool { return u.run("exec", "c1", "stty", "-F", "/dev/pts/0", "size") == "40 132" })

	// Job control: a job is stopped by Ctrl-Z, and listed, and brought back.
	term.types("sleep 1000\n")
	eventually(t, "the job runs", func() bool { return len(u.inside("sleep 1000")) == 1 })
	term.types("\x1a")
	term.expect("Stopped")
	term.types("jobs\n")
	term.expect("Stopped")
	term.types("fg\n")
	term.expect("sleep 1000")
	eventually(t, "the job goes on", func() bool { return !u.inside("sleep 1000")[0].stopped() })
	// Ctrl-C ends the job and not the shell.
	term.types("\x03")
	term.types("echo code $?\n")
	term.expect("code 130\r\n")
	term.types("exit 42\n")
	if code := term.wait(); code != 42 {
		t.Errorf("exit code %d, want 42", code)
	}
}

// stopped tells whether a process is stopped by job control.
func (p process) stopped() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	return err == nil && strings.Contains(string(text), ") T ")
}

func sendSignal(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
}

func TestTerminalIsRestored(t *testing.T) {
	u := newUserWithImage(t)
	for _, c := range []struct {
		end  func(*terminal)
		code int
	}{
		{func(term *terminal) { term.types("\x04") }, 0},
		{func(term *terminal) { term.types("kill -9 1000000; exit 3\n") }, 3},
		{func(*terminal) { u.run("kill", "c1") }, 137},
		{func(*terminal) { u.run("rm", "-f", "c1") }, 137},
	} {
		term := u.onTerminal("run", "--rm", "-it", "--name", "c1", "bb", "sh")
		term.expect("# ")
		if raw := term.settings(); raw.Lflag&unix.ICANON != 0 || raw.Lflag&unix.ECHO != 0 {
			t.Error("the caller's terminal is not in raw mode while the container has it")
		}
		c.end(term)
		if code := term.wait(); code != c.code {
			t.Errorf("exit code %d, want %d", code, c.code)
		}
		if after := term.settings(); after.Lflag&unix.ICANON == 0 || after.Lflag&unix.ECHO == 0 ||
			after.Oflag&unix.OPOST == 0 {
			t.Errorf("the terminal is left in raw mode: %+v", after)
		}
		eventually(t, "the container is removed", func() bool { return u.run("ps", "-aq") == "" })
	}
}

func TestInterrupt(t *testing.T) {
	u := newUserWithImage(t)
	// On a terminal, Ctrl-C is the container's terminal's business.
	term := u.onTerminal("run", "--rm", "-it", "--init", "bb", "sleep", "1000")
	eventually(t, "the payload runs", func() bool { return len(u.inside("sleep 1000")) > 0 })
	term.types("\x03")
	if code := term.wait(); code != 130 {
		t.Errorf("Ctrl-C with -it: exit code %d, want 130", code)
	}
	// Without one, signals to the client are forwarded.
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		client := u.cmd("run", "--rm", "--init", "bb", "sleep", "1000")
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the payload runs", func() bool { return len(u.inside("sleep 1000")) > 0 })
		sendSignal(t, client.Process.Pid, signal)
		client.Wait() // the exit code is looked at below
		if got := exitCode(client.ProcessState); got != code {
			t.Errorf("%v: exit code %d, want %d", signal, got, code)
		}
	}
}

func TestExecOnTerminal(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	term := u.onTerminal("exec", "-it", "c1", "sh")
	term.expect("# ")
	term.types("stty size; tty\n")
	term.expect("24 80\r\n")
	term.expect("/dev/pts/")
	term.types("exit 5\n")
	if code := term.wait(); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
	if modes := term.settings(); modes.Lflag&unix.ICANON == 0 {
		t.Error("the terminal is left in raw mode")
	}
	// A terminal is asked for that is not there.
	u.fails(125, []string{"tty"}, "exec", "-it", "c1", "sh")
}

// TestStartDetachKeys leaves a container that was started with keys of one's own.
func TestStartDetachKeys(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "-it", "--name", "c1", "bb", "sh")
	u.fails(125, []string{"detach"}, "start", "-a", "--detach-keys", "odd-key", "c1")
	term := u.onTerminal("start", "-ai", "--detach-keys", "ctrl-x,q", "c1")
	term.types("echo a$((1+1))b\r")
	term.expect("a2b")
	term.types("\x18q")
	if code := term.wait(); code != 0 {
		t.Errorf("start ended with %d", code)
	}
	u.prints("running", "inspect", "-f", "{{.State.Status}}", "c1")
}
