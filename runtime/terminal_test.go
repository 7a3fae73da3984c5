package runtime

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// screen collects what a terminal shows.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
	done chan struct{}
}

func watchScreen(console *os.File) *screen {
	s := &screen{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		io.Copy(s, console) // ends with EIO when the last slave is closed
	}()
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) shows(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func withTerminal(p *specs.Process) *specs.Process {
	p.Terminal = true
	p.ConsoleSize = &specs.Box{Height: 33, Width: 111}
	return p
}

const terminalScript = `
	tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo is a terminal
	trap 'echo size is now $(stty size)' WINCH
	trap 'echo interrupted; exit 130' INT
	echo ready
	while true; do sleep 0.01; done`

// checkTerminal takes a process that runs terminalScript through a resize and Ctrl-C.
func checkTerminal(t *testing.T, p *handle) {
	t.Helper()
	s := watchScreen(p.Console())
	eventually(t, "the script is ready", func() bool { return s.shows("ready") })
	for _, want := range []string{"/dev/pts/", "33 111", "is a terminal"} {
		if !s.shows(want) {
			t.Errorf("no %q on the terminal:\n%s", want, s)
		}
	}
	must(t, p.Resize(44, 55))
	eventually(t, "the resize arrives", func() bool { return s.shows("size is now 44 55") })
	if _, err := p.Console().Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if status, err := p.Wait(t.Context()); err != nil || status.Code != 130 {
		t.Errorf("after Ctrl-C: %+v, %v:\n%s", status, err, s)
	}
	eventually(t, "the last words arrive", func() bool { return s.shows("interrupted") })
}

func TestTerminal(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"root":   func(*Config) {},
		"init":   func(c *Config) { c.Init = true },
		"user":   func(c *Config) { c.Spec.Process.User = specs.User{UID: 5, GID: 6} },
		"one id": func(c *Config) { c.MapIDs = mapOne },
		"nomap":  func(c *Config) { c.MapIDs = mapNone(t) },
	} {
		t.Run(name, func(t *testing.T) {
			b := run(t, []string{"sh", "-c", terminalScript}, func(c *Config) {
				change(c)
				withTerminal(c.Spec.Process)
				withSeccomp(t)(c)
			})
			checkTerminal(t, &b.Container.handle)
		})
	}
}

func TestDevConsole(t *testing.T) {
	const script = "echo to the console > /dev/console; test -c /dev/console && echo bound"
	b := run(t, []string{"sh", "-c", script}, func(c *Config) { withTerminal(c.Spec.Process) })
	s := watchScreen(b.Console())
	b.Wait(t.Context())
	<-s.done
	if !s.shows("to the console") || !s.shows("bound") {
		t.Errorf("the terminal shows %q", s)
	}
}

func TestExecTerminal(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, withSeccomp(t))
	for _, user := range []uint32{0, 5} {
		process := withTerminal(shell(terminalScript))
		process.User = specs.User{UID: user, GID: user}
		p, err := b.Exec(t.Context(), ExecConfig{Process: process})
		must(t, err)
		checkTerminal(t, &p.handle)
		p.Close()
	}
}

// The terminal is the container's own: it has a name there, and the host's devpts does not show it.
func TestTerminalIsTheContainers(t *testing.T) {
	const script = "stat -c %u $(tty); echo end; sleep 1000"
	b := run(t, []string{"sh", "-c", script}, func(c *Config) { withTerminal(c.Spec.Process) })
	s := watchScreen(b.Console())
	eventually(t, "the terminal has a name", func() bool { return s.shows("0\r\nend") })
	if err := b.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	<-s.done
}
