package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func TestSandboxKilled(t *testing.T) {
	for _, init := range []bool{false, true} {
		b := run(t, []string{"sleep", "1000"}, func(c *Config) { c.Init = init })
		p, err := b.Exec(t.Context(), ExecConfig{Process: DefaultSpec("sleep", "1000").Process})
		must(t, err)
		must(t, syscall.Kill(b.sandbox.proc.Pid, syscall.SIGKILL))
		status, err := b.Wait(t.Context())
		if err == nil || status.Code != 137 {
			t.Errorf("wait without a sandbox: %+v, %v", status, err)
		}
		p.Wait(t.Context())
		p.Close()
		checkGone(t, b.sandbox.proc.Pid, b.InitPid(), p.Pid)
	}
}

func TestCreatorKilled(t *testing.T) {
	// Where other users may not execute the binary, a sealed copy takes the place of its read-only mount.
	private := filepath.Join(t.TempDir(), "private")
	program, err := os.ReadFile(selfExe)
	must(t, err)
	must(t, os.WriteFile(private, program, 0o700))
	for _, test := range []struct{ binary, first string }{{selfExe, "/"}, {private, "/memfd:rcrun (deleted)"}} {
		creator := exec.Command(test.binary, tree(t), t.TempDir(), "sleep", "1000")
		creator.Args[0] = creatorName
		creator.Stderr = os.Stderr
		out, err := creator.StdoutPipe()
		must(t, err)
		must(t, creator.Start())
		var sandbox, init int
		line, err := bufio.NewReader(out).ReadString('\n')
		if _, scanErr := fmt.Sscan(line, &sandbox, &init); scanErr != nil {
			t.Fatalf("creator said %q: %v, %v", line, err, scanErr)
		}
		if !alive(sandbox) || !alive(init) {
			t.Error("the container does not run")
		}
		if first, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", init)); err != nil || first != test.first {
			t.Errorf("the first process is executed from %s, %v; want %s", first, err, test.first)
		}
		must(t, creator.Process.Kill())
		creator.Wait()
		checkGone(t, sandbox, init)
	}
}

func TestClosedBeforeStart(t *testing.T) {
	b := create(t, []string{"sleep", "1000"}, nil)
	if !alive(b.InitPid()) {
		t.Error("a created container has no process")
	}
	must(t, b.Signal(syscall.SIGKILL))
	if status, err := b.Wait(t.Context()); err != nil || status.Code != 137 {
		t.Errorf("wait: %+v, %v", status, err)
	}
	if err := b.Start(t.Context()); err == nil {
		t.Error("a container that has ended starts")
	}
}

// TestStoppedSandboxIsKilled kills a container whose sandbox is stopped: its end is reported all the same.
func TestStoppedSandboxIsKilled(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	must(t, syscall.Kill(b.sandbox.proc.Pid, syscall.SIGSTOP))
	must(t, b.Kill())
	if status, err := b.Wait(t.Context()); err != nil || status.Code != 137 {
		t.Errorf("wait: %+v, %v", status, err)
	}
}

// TestSignalAfterClose signals a container that has been closed. The error is ErrExited.
func TestSignalAfterClose(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	must(t, b.Close())
	if err := b.Signal(syscall.SIGTERM); !errors.Is(err, ErrExited) {
		t.Errorf("signal: %v", err)
	}
}
