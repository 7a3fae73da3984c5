package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rcrun/rcrun/internal/wire"
)

// serveSilent serves a container whose payload runs on, whatever is asked of its monitor.
func serveSilent(t *testing.T) *Container {
	c := serveAs(t, func(conn *wire.Conn, request wire.Message) {
		defer wire.CloseFiles(request.Files)
		switch request.Kind {
		case msgAttach, msgExec:
			conn.Send(msgStarted, startedReply{Pid: 1})
		case msgStop, msgSignal:
			conn.Send(msgDone, nil)
		}
		conn.Recv() // until the command goes away
	})
	if err := os.WriteFile(c.path(logFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// following are the calls that last for as long as the container runs.
var following = map[string]func(ctx context.Context, c *Container) error{
	"logs": func(ctx context.Context, c *Container) error {
		return c.Logs(ctx, LogOptions{Follow: true, Tail: -1}, io.Discard, io.Discard)
	},
	"wait": func(ctx context.Context, c *Container) error {
		_, err := c.Wait(ctx)
		return err
	},
	"stop": func(ctx context.Context, c *Container) error { return c.Stop(ctx, StopOptions{}) },
	"hold": func(ctx context.Context, c *Container) error {
		_, err := c.Hold(ctx, true)
		return err
	},
	"attach": func(ctx context.Context, c *Container) error {
		return waitFor(ctx, func(streams Streams) (*Session, error) {
			return c.Attach(ctx, streams, WinSize{})
		})
	},
	"exec": func(ctx context.Context, c *Container) error {
		options := ExecOptions{Args: []string{"sleep", "1000"}}
		return waitFor(ctx, func(streams Streams) (*Session, error) { return c.Exec(ctx, options, streams) })
	},
}

// waitFor begins a session with all streams, and waits for its end.
func waitFor(ctx context.Context, begin func(Streams) (*Session, error)) error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	input, typing := io.Pipe()
	defer typing.Close()
	session, err := begin(Streams{Stdin: input, Stdout: null, Stderr: null})
	if err != nil {
		return err
	}
	defer session.Close()
	_, err = session.Wait(ctx)
	return err
}

// Many followers at once are cancelled: all return, and nothing is left of them.
func TestCancelFollowers(t *testing.T) {
	const each = 50
	c := serveSilent(t)
	e := &Engine{Dirs: c.dirs}
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for name, follow := range following {
		for range each {
			all.Go(func() {
				mine, err := e.Lookup(t.Context(), c.ID)
				if err == nil {
					err = follow(ctx, mine)
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	time.Sleep(200 * time.Millisecond) // most of them are under way by then; all others find ctx cancelled
	cancel()
	all.Wait()
	settle(t, "goroutines", goroutines, runtime.NumGoroutine)
	settle(t, "open files", files, func() int { return openFiles(t) })
	if !locked(c.lockPath()) {
		t.Error("the container has ended")
	}
}

// settle waits until there are not more of something than there were.
func settle(t *testing.T, what string, before int, count func() int) {
	t.Helper()
	const patience = 10 * time.Second
	for end := time.Now().Add(patience); count() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 64<<10)
			t.Errorf("%d %s, before %d\n%s", count(), what, before, stacks[:runtime.Stack(stacks, true)])
			return
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A follower of the log gets what is written at once, and returns when the monitor is killed, which only the release of
// the lock tells.
func TestLogsFollow(t *testing.T) {
	c := makeRecord(t, &Engine{Dirs: testDirs(t)}, strings.Repeat("b", 64), "followed", Running)
	held, err := newLock(c.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	w, err := openLog(c.path(logFile), 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		other := *c
		ended <- other.Logs(t.Context(), LogOptions{Follow: true, Tail: -1}, write, io.Discard)
		write.Close()
	}()
	out := &output{stream: "stdout", log: w}
	for range 40 { // which has the log set aside several times
		out.pass([]byte("line\n"))
		got := make([]byte, len("line\n"))
		if _, err := io.ReadFull(read, got); err != nil || string(got) != "line\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	held.release()
	if rest, err := io.ReadAll(read); len(rest) > 0 || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Who waits for a lock gets it when it is released, however long the patience.
func TestWaitLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := newLock(path)
	if err != nil {
		t.Fatal(err)
	}
	const waiters = 8
	var all sync.WaitGroup
	for range waiters {
		all.Go(func() {
			held, err := waitLock(t.Context(), path, time.Hour)
			if err != nil {
				t.Error(err)
				return
			}
			held.release()
		})
	}
	if _, err := waitLock(t.Context(), path, 20*time.Millisecond); !errors.Is(err, errLocked) {
		t.Errorf("without patience: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := waitLock(ctx, path, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	held.release()
	all.Wait()
}

// A session that is closed copies no more, though the process that it was begun for runs on.
func TestCloseEndsCopying(t *testing.T) {
	command, _ := conversation(t)
	s := &Session{conn: command}
	input, typing := io.Pipe()
	defer typing.Close()
	var set streamSet
	files, err := s.pipes(Streams{Stdin: input, Stdout: os.Stdout}, &set)
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseFiles(files)
	s.Close()
	<-s.outputs[0].done
	if n, err := io.Copy(io.Discard, files[0]); n != 0 || err != nil {
		t.Errorf("the process reads %d bytes, then %v", n, err)
	}
}

// Cancelled followers of a container leave nothing in its monitor, and the container to itself. An executed process
// runs on, too.
func TestCancelLeavesContainer(t *testing.T) {
	const each = 10
	e, c := started(t, "echo up; exec sleep 1000", nil)
	c, err := e.Lookup(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	monitorFiles := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.State.Monitor.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	goroutines, before := runtime.NumGoroutine(), monitorFiles()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, name := range []string{"logs", "wait", "attach"} {
		for range each {
			all.Go(func() {
				mine := *c
				if err := following[name](ctx, &mine); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	soon(t, "the monitor has all that ask it", func() bool { return monitorFiles() >= before+2*each })
	cancel()
	all.Wait()
	settle(t, "goroutines", goroutines, runtime.NumGoroutine)
	settle(t, "open files of the monitor", before, monitorFiles)
	ctx, cancel = context.WithCancel(t.Context())
	session, err := c.Exec(ctx, ExecOptions{Args: []string{"sleep", "1000"}}, Streams{})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := session.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait for an exec: %v", err)
	}
	session.Close()
	if !inspected(t, c, session.ExecID).Running {
		t.Error("the executed process has ended")
	}
	if again, err := e.Lookup(t.Context(), c.ID); err != nil || again.State.Status != Running {
		t.Errorf("the container is %+v, %v", again.State, err)
	}
}
