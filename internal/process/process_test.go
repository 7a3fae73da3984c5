package process

import (
	"os/exec"
	"strings"
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

func TestWait(t *testing.T) {
	id, end := start(t)
	if err := id.Wait(20 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "not ended") {
		t.Errorf("of one that runs: %v", err)
	}
	if err := (ID{id.Pid, id.Start + 1}).Wait(time.Minute); err != nil {
		t.Errorf("of one that had the number before: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, end)
	if err := id.Wait(time.Minute); err != nil {
		t.Errorf("of one that ends: %v", err)
	}
	if err := (ID{}).Wait(time.Minute); err != nil {
		t.Errorf("of none: %v", err)
	}
}

func TestKill(t *testing.T) {
	id, _ := start(t)
	if err := (ID{id.Pid, id.Start + 1}).Kill(); err != nil {
		t.Errorf("one that had the number before: %v", err)
	}
	if err := id.Wait(20 * time.Millisecond); err == nil {
		t.Error("another was killed than was meant")
	}
	if err := id.Kill(); err != nil {
		t.Error(err)
	}
	if err := id.Wait(time.Minute); err != nil {
		t.Error(err)
	}
}
