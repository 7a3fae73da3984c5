package runtime

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// shell is a process that runs a script, as strong as DefaultSpec's.
func shell(script string) *specs.Process {
	return DefaultSpec("sh", "-c", script).Process
}

// inside runs a script in a container and returns what it prints.
func inside(t *testing.T, b box, process *specs.Process) (string, ExitStatus) {
	t.Helper()
	out := newOutput(t)
	p, err := b.Exec(t.Context(), ExecConfig{Process: process, Stdout: out.w, Stderr: out.w})
	if err != nil {
		out.all()
		t.Fatalf("exec: %v", err)
	}
	defer p.Close()
	status, err := p.Wait(t.Context())
	must(t, err)
	return out.all(), status
}

func TestExec(t *testing.T) {
	for _, init := range []bool{false, true} {
		b := run(t, []string{"sleep", "1000"}, func(c *Config) {
			c.Init = init
			withSeccomp(t)(c)
		})
		out, status := inside(t, b, shell(`hostname; grep -E '^(CapEff|Seccomp:)' /proc/self/status
			readlink /proc/self/cwd; ls /proc/self/fd | grep -c .; exit 3`))
		expect(t, "exec", out, "box CapEff: "+dockerCaps+" Seccomp: 2 / 4")
		if status.Code != 3 {
			t.Errorf("exit status %+v", status)
		}
	}
}

func TestExecUser(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	process := shell("id; umask; echo x > /dev/stderr; readlink /proc/self/cwd; env")
	process.User = specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9}}
	process.Cwd = "/work"
	process.Env = []string{"PATH=/bin"}
	out, _ := inside(t, b, process)
	expect(t, "exec as a user", out, "uid=7 gid=8 groups=9 0022 x /work SHLVL=1 PATH=/bin PWD=/work")
}

func TestExecNamespaces(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	p, err := b.Exec(t.Context(), ExecConfig{Process: shell("sleep 1000; true")})
	must(t, err)
	defer p.Close()
	for _, ns := range []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"} {
		first, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.InitPid(), ns))
		must(t, err)
		second, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p.Pid, ns))
		must(t, err)
		if first != second {
			t.Errorf("%s namespace of the exec is %s, the container's %s", ns, second, first)
		}
	}
	must(t, p.Signal(unix.SIGTERM))
	if status, _ := p.Wait(t.Context()); status != (ExitStatus{Code: 143, Signal: int(unix.SIGTERM)}) {
		t.Errorf("ended with %+v", status)
	}
}

func TestExecStdin(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	r, w, err := os.Pipe()
	must(t, err)
	out := newOutput(t)
	p, err := b.Exec(t.Context(), ExecConfig{Process: DefaultSpec("cat").Process, Stdin: r, Stdout: out.w})
	must(t, err)
	defer p.Close()
	r.Close()
	fmt.Fprint(w, "through")
	w.Close()
	p.Wait(t.Context())
	if got := out.all(); got != "through" {
		t.Errorf("cat printed %q", got)
	}
}

func TestExecErrorsInRunning(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	_, err := b.Exec(t.Context(), ExecConfig{Process: DefaultSpec("nosuch").Process})
	var refused *ExecError
	if !errors.As(err, &refused) || refused.Code != 127 {
		t.Errorf("exec of nothing: %v", err)
	}
	_, err = b.Exec(t.Context(), ExecConfig{Process: DefaultSpec("/etc").Process})
	if !errors.As(err, &refused) || refused.Code != 126 {
		t.Errorf("exec of a directory: %v", err)
	}
}

func TestExecsAtOnce(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			p, err := b.Exec(t.Context(), ExecConfig{Process: shell(fmt.Sprintf("exit %d", i))})
			if err != nil {
				t.Errorf("exec: %v", err)
				return
			}
			defer p.Close()
			if status, err := p.Wait(t.Context()); err != nil || status.Code != i {
				t.Errorf("exec %d ended with %+v, %v", i, status, err)
			}
		})
	}
	group.Wait()
}

func TestExecEndsWithContainer(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	p, err := b.Exec(t.Context(), ExecConfig{Process: DefaultSpec("sleep", "1000").Process})
	must(t, err)
	defer p.Close()
	must(t, b.Signal(syscall.SIGKILL))
	if status, _ := p.Wait(t.Context()); status.Code != 137 {
		t.Errorf("exec ended with %+v", status)
	}
	b.Wait(t.Context())
	if _, err := b.Exec(t.Context(), ExecConfig{Process: shell("true")}); !errors.Is(err, ErrExited) {
		t.Errorf("exec after the end: %v", err)
	}
}

// An exec at the end of the container either runs or fails with ErrExited.
func TestExecMeetsEnd(t *testing.T) {
	for range 5 {
		b := run(t, []string{"sleep", "1000"}, nil)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				p, err := b.Exec(t.Context(), ExecConfig{Process: shell("true")})
				if err == nil {
					p.Wait(t.Context())
					p.Close()
				} else if !errors.Is(err, ErrExited) {
					t.Errorf("exec: %v", err)
				}
			})
		}
		must(t, b.Signal(syscall.SIGKILL))
		group.Wait()
	}
}

// A server answers by the class of an error, also if a stage reports the error.
func TestErrorClasses(t *testing.T) {
	b := create(t, []string{"sleep", "1000"}, nil)
	if _, err := b.Exec(t.Context(), ExecConfig{Process: shell("true")}); !errdefs.IsConflict(err) {
		t.Errorf("exec before the start: %v", err)
	}
	must(t, b.Start(t.Context()))
	if err := b.Resize(1, 1); !errdefs.IsConflict(err) {
		t.Errorf("resize without a terminal: %v", err)
	}
	for name, change := range map[string]func(*specs.Process){
		"command":    func(p *specs.Process) { p.Args = []string{"nosuch"} },
		"user":       func(p *specs.Process) { p.User.Username = "nosuch" },
		"id":         func(p *specs.Process) { p.User.UID = 1 << 31 },
		"capability": func(p *specs.Process) { p.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"x"}} },
		"limit":      func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "x"}} },
	} {
		process := shell("true")
		change(process)
		if _, err := b.Exec(t.Context(), ExecConfig{Process: process}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, b.Signal(unix.SIGKILL))
	b.Wait(t.Context())
	if err := b.Signal(unix.SIGKILL); !errdefs.IsConflict(err) {
		t.Errorf("signal after the end: %v", err)
	}
}
