package engine

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
)

// createExec makes an execution of a shell script in a container.
func createExec(t *testing.T, c *Container, script string, tty bool) ExecInfo {
	t.Helper()
	info, err := c.CreateExec(t.Context(), ExecOptions{Args: []string{"sh", "-c", script}, Tty: tty})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// inspected returns what is known of an execution.
func inspected(t *testing.T, c *Container, id string) ExecInfo {
	t.Helper()
	info, err := c.InspectExec(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// inspectedIDs returns the executions that an inspection of the container shows.
func inspectedIDs(t *testing.T, c *Container) []string {
	t.Helper()
	if err := c.refresh(); err != nil {
		t.Fatal(err)
	}
	i, err := c.Inspect(t.Context(), "fuse")
	if err != nil {
		t.Fatal(err)
	}
	return i.ExecIDs
}

// TestExecObject leads an execution through its life.
func TestExecObject(t *testing.T) {
	e, c := started(t, "sleep 1000", nil)
	x := createExec(t, c, "echo out; echo err >&2; exit 7", false)
	if x.Running || x.Pid != 0 || x.ExitCode != nil || x.ContainerID != c.ID ||
		!strings.HasPrefix(x.ID, c.ID[:execIDPart]) {
		t.Errorf("created: %+v", x)
	}
	if found, err := e.LookupExec(t.Context(), x.ID); err != nil || found.ID != c.ID {
		t.Errorf("the container of the exec is %v, %v", found, err)
	}
	if ids := inspectedIDs(t, c); !slices.Equal(ids, []string{x.ID}) {
		t.Errorf("inspect shows %q of %s", ids, x.ID)
	}
	out, errs := newSink(t), newSink(t)
	session, err := c.StartExec(t.Context(), x.ID, Streams{Stdout: out.file, Stderr: errs.file}, WinSize{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if exit := ended(t, session); exit.Code != 7 {
		t.Errorf("exit: %+v", exit)
	}
	if o, e := out.all(), errs.all(); o != "out\n" || e != "err\n" {
		t.Errorf("it wrote %q and %q", o, e)
	}
	if x = inspected(t, c, x.ID); x.Running || x.ExitCode == nil || *x.ExitCode != 7 || !x.Options.Streams.Stdout {
		t.Errorf("ended: %+v", x)
	}
	if ids := inspectedIDs(t, c); len(ids) != 0 {
		t.Errorf("inspect shows %q after the end", ids)
	}
	if _, err := c.StartExec(t.Context(), x.ID, Streams{}, WinSize{}, false); !errdefs.IsConflict(err) {
		t.Errorf("started twice: %v", err)
	}
	if err := c.SignalExec(t.Context(), x.ID, syscall.SIGTERM); !errdefs.IsConflict(err) {
		t.Errorf("a signal after the end: %v", err)
	}
}

// TestExecRefused asks for executions that cannot be.
func TestExecRefused(t *testing.T) {
	e, c := started(t, "sleep 1000", nil)
	if _, err := c.CreateExec(t.Context(), ExecOptions{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("without a command: %v", err)
	}
	unknown := strings.Repeat("0", 64)
	if _, err := c.InspectExec(t.Context(), unknown); !errdefs.IsNotFound(err) {
		t.Errorf("an unknown one: %v", err)
	}
	if _, err := e.LookupExec(t.Context(), unknown); !errdefs.IsNotFound(err) {
		t.Errorf("the container of an unknown one: %v", err)
	}
	x, err := c.CreateExec(t.Context(), ExecOptions{Args: []string{"no-such-command"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartExec(t.Context(), x.ID, Streams{}, WinSize{}, false); ExitCode(err) != 127 {
		t.Errorf("a command that is not there: %v", err)
	}
	if x = inspected(t, c, x.ID); x.Running || x.ExitCode == nil || *x.ExitCode != 127 {
		t.Errorf("after that: %+v", x)
	}
}

// TestExecSignalsAndSize resizes and signals an execution by its id, while another process has its terminal.
func TestExecSignalsAndSize(t *testing.T) {
	_, c := started(t, "sleep 1000", nil)
	x := createExec(t, c, "trap 'stty size; exit 3' USR1; echo ready; while :; do sleep 0.1; done", true)
	session, err := c.StartExec(t.Context(), x.ID, Streams{}, WinSize{Rows: 10, Cols: 20}, false)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	read := make([]byte, 100)
	for !strings.Contains(text.String(), "ready") {
		n, err := session.Console.Read(read)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(read[:n])
	}
	if x = inspected(t, c, x.ID); !x.Running || x.Pid == 0 {
		t.Errorf("running: %+v", x)
	}
	if err := c.ResizeExec(t.Context(), x.ID, WinSize{Rows: 33, Cols: 44}); err != nil {
		t.Error(err)
	}
	if err := c.SignalExec(t.Context(), x.ID, syscall.SIGUSR1); err != nil {
		t.Error(err)
	}
	for {
		n, err := session.Console.Read(read)
		text.Write(read[:n])
		if err != nil {
			break // the terminal has ended
		}
	}
	contains(t, text.String(), "33 44")
	if exit := ended(t, session); exit.Code != 3 {
		t.Errorf("exit: %+v", exit)
	}
}

// TestExecClientGoes leaves executions alone: one whose terminal goes with its client is hung up, a detached one goes
// on.
func TestExecClientGoes(t *testing.T) {
	_, c := started(t, "sleep 1000", nil)
	for _, detached := range []bool{false, true} {
		x := createExec(t, c, "sleep 1000", true)
		session, err := c.StartExec(t.Context(), x.ID, Streams{}, WinSize{}, detached)
		if err != nil {
			t.Fatal(err)
		}
		session.Close()
		if !detached {
			soon(t, "it is hung up", func() bool { return !inspected(t, c, x.ID).Running })
			if code := inspected(t, c, x.ID).ExitCode; code == nil || *code != 128+int(syscall.SIGHUP) {
				t.Errorf("exit code %v", code)
			}
			continue
		}
		if err := c.ResizeExec(t.Context(), x.ID, WinSize{Rows: 3, Cols: 4}); err != nil {
			t.Error(err)
		}
		if !inspected(t, c, x.ID).Running {
			t.Error("a detached exec has ended")
		}
	}
}

// TestExecsAreForgotten has more executions end than a monitor remembers, and lists them.
func TestExecsAreForgotten(t *testing.T) {
	var table execTable
	first, err := table.create(strings.Repeat("a", 64), ExecOptions{Args: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	first.over(0)
	table.retire(first)
	for range keptExecs + 10 {
		x, err := table.create(strings.Repeat("a", 64), ExecOptions{Args: []string{"true"}})
		if err != nil {
			t.Fatal(err)
		}
		x.over(0)
		table.retire(x)
	}
	if list := table.list(); len(list) != keptExecs {
		t.Errorf("%d are remembered", len(list))
	}
	if _, err := table.find(first.info.ID); !errdefs.IsNotFound(err) {
		t.Errorf("the oldest: %v", err)
	}
	for range maxExecs {
		if _, err := table.create(strings.Repeat("a", 64), ExecOptions{Args: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := table.create(strings.Repeat("a", 64), ExecOptions{Args: []string{"true"}}); !errdefs.IsConflict(err) {
		t.Errorf("one too many: %v", err)
	}
}
