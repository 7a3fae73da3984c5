package engine

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/rcrun/rcrun/internal/own"
)

// attachNext attaches both outputs to the next run of a container.
func attachNext(t *testing.T, c *Container) (p *Pending, out, errs *sink) {
	t.Helper()
	out, errs = newSink(t), newSink(t)
	p, err := c.AttachNext(t.Context(), Streams{Stdout: out.file, Stderr: errs.file}, WinSize{})
	if err != nil {
		t.Fatal(err)
	}
	return p, out, errs
}

// beginWait begins to wait for a condition.
func beginWait(t *testing.T, c *Container, condition container.WaitCondition) *Waiting {
	t.Helper()
	w, err := c.BeginWait(t.Context(), condition)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// endsWith wants a wait to end with an exit code.
func endsWith(t *testing.T, what string, w *Waiting, code int) {
	t.Helper()
	if exit, err := w.End(t.Context()); err != nil || exit.Code != code {
		t.Errorf("%s: %+v, %v; want exit code %d", what, exit, err, code)
	}
}

// start starts a container without streams.
func start(t *testing.T, e *Engine, c *Container) {
	t.Helper()
	session, err := e.Start(t.Context(), c, Streams{}, WinSize{})
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
}

// noWaiters wants no socket to be left of those who waited for a container's start.
func noWaiters(t *testing.T, c *Container) {
	t.Helper()
	for _, dir := range c.waiterDirs() {
		if _, err := os.Lstat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
}

// TestAttachBeforeStart does what Docker's clients do: create, attach, wait, start. All who are attached get all
// output, and all who wait hear of the end.
func TestAttachBeforeStart(t *testing.T) {
	e, c := created(t, "echo out; echo err >&2; exit 5", nil)
	first, out1, errs1 := attachNext(t, c)
	second, out2, errs2 := attachNext(t, c)
	next := beginWait(t, c, container.WaitConditionNextExit)
	defer next.Close()
	endsWith(t, "a container that does not run", beginWait(t, c, container.WaitConditionNotRunning), 0)
	start(t, e, c)
	for _, p := range []*Pending{first, second} {
		session, err := p.Session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if exit := ended(t, session); session.Pid == 0 || exit.Code != 5 {
			t.Errorf("process %d: %+v", session.Pid, exit)
		}
	}
	for _, s := range []*sink{out1, out2} {
		if text := s.all(); text != "out\n" {
			t.Errorf("standard output: %q", text)
		}
	}
	for _, s := range []*sink{errs1, errs2} {
		if text := s.all(); text != "err\n" {
			t.Errorf("standard error: %q", text)
		}
	}
	endsWith(t, "the next exit", next, 5)
	noWaiters(t, c)
}

// TestAttachInputBeforeStart feeds a container from before its start.
func TestAttachInputBeforeStart(t *testing.T) {
	e, c := created(t, "cat", func(o *CreateOptions) { o.Config.OpenStdin, o.Config.StdinOnce = true, true })
	out := newSink(t)
	p, err := c.AttachNext(t.Context(), Streams{Stdin: strings.NewReader("through\n"), Stdout: out.file}, WinSize{})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e, c)
	session, err := p.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended(t, session)
	if text := out.all(); text != "through\n" {
		t.Errorf("it wrote %q", text)
	}
}

// TestAttachNextToRunning attaches to a container that runs already.
func TestAttachNextToRunning(t *testing.T) {
	_, c := started(t, "while [ ! -e /tmp/go ]; do sleep 0.05; done; echo out; exit 6", nil)
	p, out, _ := attachNext(t, c)
	w := beginWait(t, c, container.WaitConditionNextExit)
	session, err := p.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.HostConfig.Rootfs, "tmp/go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if exit := ended(t, session); exit.Code != 6 {
		t.Errorf("exit: %+v", exit)
	}
	endsWith(t, "the next exit", w, 6)
	if text := out.all(); text != "out\n" {
		t.Errorf("it wrote %q", text)
	}
}

// TestWaitForRemoval waits for the end of containers that go with it, and of one that is removed without a start.
func TestWaitForRemoval(t *testing.T) {
	e, c := created(t, "exit 9", func(o *CreateOptions) { o.HostConfig.AutoRemove = true })
	w := beginWait(t, c, container.WaitConditionRemoved)
	start(t, e, c)
	endsWith(t, "a container that goes with its end", w, 9)
	if _, err := e.Lookup(t.Context(), c.ID); !errdefs.IsNotFound(err) {
		t.Errorf("after that: %v", err)
	}
	e, c = created(t, "exit 9", nil)
	w = beginWait(t, c, container.WaitConditionRemoved)
	next := beginWait(t, c, container.WaitConditionNextExit)
	p, _, _ := attachNext(t, c)
	if err := e.Remove(t.Context(), c.ID, false); err != nil {
		t.Fatal(err)
	}
	endsWith(t, "a container that was never started", w, 0)
	if _, err := next.End(t.Context()); !errdefs.IsNotFound(err) {
		t.Errorf("its next exit: %v", err)
	}
	if _, err := p.Session(t.Context()); !errdefs.IsNotFound(err) {
		t.Errorf("its next session: %v", err)
	}
	if _, err := c.BeginWait(t.Context(), "odd"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("an odd condition: %v", err)
	}
}

// TestStartFailsForWaiters has a container not start: those who wait for it are told why.
func TestStartFailsForWaiters(t *testing.T) {
	e, c := created(t, "", func(o *CreateOptions) { o.Config.Cmd = []string{"no-such-command"} })
	p, _, _ := attachNext(t, c)
	next := beginWait(t, c, container.WaitConditionNextExit)
	if _, err := e.Start(t.Context(), c, Streams{}, WinSize{}); ExitCode(err) != 127 {
		t.Errorf("start: %v", err)
	}
	if _, err := p.Session(t.Context()); ExitCode(err) != 127 {
		t.Errorf("the one who attached: %v", err)
	}
	if _, err := next.End(t.Context()); ExitCode(err) != 127 {
		t.Errorf("the one who waited: %v", err)
	}
}

// TestWaitersThatAreGone starts a container for which processes waited that gave up, were killed, or say nothing.
func TestWaitersThatAreGone(t *testing.T) {
	e, c := created(t, "exit 3", nil)
	p, _, _ := attachNext(t, c)
	p.Close()
	noWaiters(t, c)
	dir := c.waiterDirs()[0]
	if err := own.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	killed, err := listen(dir, "killed")
	if err != nil {
		t.Fatal(err)
	}
	killed.Close() // which leaves the file
	silent, err := listen(dir, "silent")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	said := make(chan *net.UnixConn, 1)
	go func() {
		conn, _ := silent.AcceptUnix()
		said <- conn
	}()
	before := time.Now()
	start(t, e, c)
	if took := time.Since(before); took > 20*sayTime {
		t.Errorf("the start took %v", took)
	}
	if conn := <-said; conn != nil {
		conn.Close()
	}
	noWaiters(t, c)
	if exit, err := c.Wait(t.Context()); err != nil || exit.Code != 3 {
		t.Errorf("exit: %+v, %v", exit, err)
	}
}

// TestAttachWhileStarting attaches at the very moment of the start: all who are attached hear of the end, whether they
// came before the monitor looked for them or after.
func TestAttachWhileStarting(t *testing.T) {
	e, c := created(t, "while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 4", nil)
	goOn := filepath.Join(c.HostConfig.Rootfs, "tmp/go")
	for range 5 {
		sessions := make(chan *Session, 8)
		for i := range cap(sessions) {
			go func() {
				time.Sleep(time.Duration(i) * 5 * time.Millisecond)
				sessions <- attachSoon(t, c)
			}()
		}
		start(t, e, c)
		var all []*Session
		for range cap(sessions) {
			all = append(all, <-sessions)
		}
		if err := os.WriteFile(goOn, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, session := range all {
			if session == nil {
				continue // the error has been told
			}
			if exit := ended(t, session); exit.Code != 4 {
				t.Errorf("exit: %+v", exit)
			}
		}
		if _, err := c.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := os.Remove(goOn); err != nil {
			t.Fatal(err)
		}
	}
}

// attachSoon attaches to a container, and waits until it runs.
func attachSoon(t *testing.T, c *Container) *Session {
	p, err := c.AttachNext(t.Context(), Streams{}, WinSize{})
	if err != nil {
		t.Error(err)
		return nil
	}
	session, err := p.Session(t.Context())
	if err != nil {
		t.Error(err)
	}
	return session
}

// TestWaitersThatGiveUp has many processes wait for a start, by all ways there are, and cancels them: no goroutine, no
// descriptor and no socket is left.
func TestWaitersThatGiveUp(t *testing.T) {
	c := makeRecord(t, &Engine{Dirs: testDirs(t)}, strings.Repeat("a", 64), "one", Created)
	held, err := newLock(c.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	held.release()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 20 {
		p, err := c.AttachNext(ctx, Streams{}, WinSize{})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if _, err := p.Session(t.Context()); !errors.Is(err, context.Canceled) {
				t.Errorf("attach: %v", err)
			}
		})
		for _, condition := range []container.WaitCondition{container.WaitConditionNextExit,
			container.WaitConditionRemoved} {
			w, err := c.BeginWait(ctx, condition)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				if _, err := w.End(t.Context()); !errors.Is(err, context.Canceled) {
					t.Errorf("wait until %s: %v", condition, err)
				}
			})
		}
	}
	cancel()
	all.Wait()
	settle(t, "goroutines", goroutines, runtime.NumGoroutine)
	settle(t, "open files", files, func() int { return openFiles(t) })
	noWaiters(t, c)
}
