package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

// start starts a program that ends when its input does.
func start(t *testing.T) (id ID, end func()) {
	t.Helper()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if id, err = Identify(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return id, func() { in.Close() }
}

// waits wants a wait to end with or without the process.
func waits(t *testing.T, what string, id ID, most time.Duration, want bool) {
	t.Helper()
	if ended, err := id.Wait(t.Context(), most); ended != want || err != nil {
		t.Errorf("%s: ended is %v, %v", what, ended, err)
	}
}

func TestWait(t *testing.T) {
	id, end := start(t)
	waits(t, "one that runs", id, 20*time.Millisecond, false)
	waits(t, "one that had the number before", ID{id.Pid, id.Start + 1}, time.Minute, true)
	time.AfterFunc(50*time.Millisecond, end)
	waits(t, "one that ends", id, time.Minute, true)
	waits(t, "none", ID{}, time.Minute, true)
}

// A wait that is cancelled leaves no descriptor and no goroutine.
func TestWaitCancelled(t *testing.T) {
	id, _ := start(t)
	before := openFiles(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if ended, err := id.Wait(ctx, time.Minute); ended || !errors.Is(err, context.Canceled) {
		t.Errorf("ended is %v, %v", ended, err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d open files, before %d", after, before)
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

func TestKill(t *testing.T) {
	id, _ := start(t)
	if err := (ID{id.Pid, id.Start + 1}).Kill(); err != nil {
		t.Errorf("one that had the number before: %v", err)
	}
	waits(t, "another than was meant", id, 20*time.Millisecond, false)
	if err := id.Kill(); err != nil {
		t.Error(err)
	}
	waits(t, "the right one", id, time.Minute, true)
}
