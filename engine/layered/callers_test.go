package layered

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	dockerevents "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/events"
)

// The test binary is executed again as the processes of containers, where the small program has not been built.
func TestMain(m *testing.M) {
	if code, ok := RunStage(); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// Many callers use one engine at once, as a server's requests do. Nothing is left of them.
func TestManyCallers(t *testing.T) {
	const callers = 32
	e, rootfs := realEngine(t), shellRoot(t)
	use(t, e, rootfs, "first") // makes what a process has once
	before := resources(t)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { use(t, e, rootfs, fmt.Sprintf("c%d", i)) })
	}
	all.Wait()
	checkResources(t, before)
}

// Followers of a running container and of events are cancelled: all of them return, and nothing is left of them.
func TestCancelledFollowers(t *testing.T) {
	const followers = 25 // of each kind
	e := realEngine(t)
	c := start(t, e, shellRoot(t), "followed", "exec /busybox sleep 1000")
	if c == nil {
		return
	}
	before := resources(t)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range followers {
		follower := lookup(t, e, c.ID)
		all.Go(func() {
			options := engine.LogOptions{Follow: true, Tail: -1}
			wantCancelled(t, follower.Logs(ctx, options, io.Discard, io.Discard))
		})
		all.Go(func() {
			ignore := func(dockerevents.Message) error { return nil }
			wantCancelled(t, e.Containers.Events().Read(ctx, events.Query{Follow: true}, ignore))
		})
	}
	time.Sleep(50 * time.Millisecond) // they may have begun to wait; none has to
	cancel()
	all.Wait()
	checkResources(t, before)
	mustDo(t, e.Containers.Remove(t.Context(), c.ID, true))
}

func wantCancelled(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled follower returned %v", err)
	}
}

// use does what a client of a server would with a container of its own.
func use(t *testing.T, e *Engine, rootfs, name string) {
	ctx := t.Context()
	c := start(t, e, rootfs, name, "echo "+name+"; exit 7")
	if c == nil {
		return
	}
	c, err := e.Containers.Lookup(ctx, name)
	if err != nil {
		t.Errorf("look up %s: %v", name, err)
		return
	}
	if _, err := c.Inspect(ctx, "fuse"); err != nil {
		t.Errorf("inspect %s: %v", name, err)
	}
	if _, broken, err := e.Containers.List(ctx); err != nil {
		t.Errorf("list: %v (%v)", err, broken)
	}
	if _, _, err := e.Create(ctx, createOptions(rootfs, name, "true"), ""); !errdefs.IsConflict(err) {
		t.Errorf("a second container %s: %v", name, err)
	}
	var out strings.Builder
	following := engine.LogOptions{Follow: true, Tail: -1}
	if err := c.Logs(ctx, following, &out, &out); err != nil || out.String() != name+"\n" {
		t.Errorf("logs of %s: %q, %v", name, out.String(), err)
	}
	if exit, err := c.Wait(ctx); err != nil || exit.Code != 7 {
		t.Errorf("wait for %s: %+v, %v", name, exit, err)
	}
	if err := e.Containers.Remove(ctx, name, false); err != nil {
		t.Errorf("remove %s: %v", name, err)
	}
}

// start starts a container that runs a script.
func start(t *testing.T, e *Engine, rootfs, name, script string) *engine.Container {
	t.Helper()
	c, _, err := e.Create(t.Context(), createOptions(rootfs, name, script), "")
	if err != nil {
		t.Errorf("create %s: %v", name, err)
		return nil
	}
	session, err := e.Containers.Start(t.Context(), c, engine.Streams{}, engine.WinSize{})
	if err != nil {
		t.Errorf("start %s: %v", name, err)
		return nil
	}
	session.Close()
	return c
}

func createOptions(rootfs, name, script string) engine.CreateOptions {
	o := engine.CreateOptions{Name: name}
	o.Config.Cmd = []string{"/busybox", "sh", "-c", script}
	o.HostConfig.Rootfs, o.HostConfig.RootfsOverlay = rootfs, true
	o.HostConfig.NetworkMode = "none"
	return o
}

func lookup(t *testing.T, e *Engine, ref string) *engine.Container {
	t.Helper()
	c, err := e.Containers.Lookup(t.Context(), ref)
	if err != nil {
		t.Fatalf("look up %s: %v", ref, err)
	}
	return c
}

// realEngine is an engine whose containers' processes are the small program, where that has been built.
func realEngine(t *testing.T) *Engine {
	t.Helper()
	dir := t.TempDir()
	e, err := New(engine.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}, smallProgram)
	mustDo(t, err)
	t.Cleanup(func() { mustDo(t, e.Close()) })
	return e
}

// smallProgram is beside the binary that is tested. This one, with the race detector in it, could not be a container's
// processes.
func smallProgram() *os.File {
	file, err := os.Open(filepath.Join(filepath.Dir(os.Getenv("RCRUN")), "fuse-rcrun"))
	if err != nil {
		return nil
	}
	return file
}

// shellRoot makes a directory with a shell.
func shellRoot(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("busybox")
	mustDo(t, err)
	content, err := os.ReadFile(program)
	mustDo(t, err)
	root := t.TempDir()
	mustDo(t, os.WriteFile(filepath.Join(root, "busybox"), content, 0o755))
	return root
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// held is what a process has that callers could leave behind.
type held struct{ goroutines, descriptors, children int }

func resources(t *testing.T) held {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	mustDo(t, err)
	children, _ := filepath.Glob("/proc/self/task/*/children") // the pattern is well-formed
	h := held{goroutines: runtime.NumGoroutine(), descriptors: len(descriptors)}
	for _, file := range children {
		text, _ := os.ReadFile(file) // a thread may have ended
		h.children += len(strings.Fields(string(text)))
	}
	return h
}

// checkResources waits until nothing is held that was not before: what was closed may take a moment to end.
func checkResources(t *testing.T, before held) {
	t.Helper()
	var now held
	for range 1000 {
		now = resources(t)
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors &&
			now.children <= before.children {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("held before %+v and now %+v", before, now)
}
