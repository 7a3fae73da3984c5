package rootless

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/tests/patience"
)

// runnerName is argv[0] of the test binary that runs something inside and is killed.
const runnerName = "rootless-test-runner"

// insideMain is what the test binary does inside: it writes a report to a file and ends, or stays.
func insideMain(task, file string) int {
	switch task {
	case "report":
		ids, err1 := os.ReadFile("/proc/self/uid_map")
		status, err2 := os.ReadFile("/proc/self/status")
		mounts, err3 := os.Readlink("/proc/self/ns/mnt")
		report := fmt.Sprintf("%d %d\n%s\n%s%s", os.Getuid(), os.Getgid(), mounts, ids, status)
		if err := errors.Join(err1, err2, err3, write(file, report)); err != nil {
			return 1
		}
		return 7
	case "signal":
		received := make(chan os.Signal, 1)
		signal.Notify(received, syscall.SIGUSR1)
		if write(file, "ready") != nil {
			return 1
		}
		<-received
		return 9
	}
	if write(file, strconv.Itoa(os.Getpid())) != nil {
		return 1
	}
	time.Sleep(time.Hour)
	return 1
}

// write makes a file that has its whole content as soon as it has its name.
func write(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func runInside(task, file string) (code int, err error) {
	m, _, err := PlanMap(ModeHost, CurrentCaller())
	if err != nil {
		return 0, err
	}
	return RunInside(context.Background(), m, []string{task, file}, os.Environ())
}

func TestRunInside(t *testing.T) {
	file := t.TempDir() + "/report"
	if code, err := runInside("report", file); code != 7 || err != nil {
		t.Fatalf("exit code %d, %v; want 7", code, err)
	}
	report, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(report), "\n")
	mounts, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil || lines[0] != "0 0" || lines[1] == mounts {
		t.Errorf("inside, user and mounts are %q; outside, %s, %v", lines[:2], mounts, err)
	}
	m, _, err := PlanMap(ModeHost, CurrentCaller())
	if err != nil {
		t.Fatal(err)
	}
	for _, ids := range m.UIDs {
		line := fmt.Sprintf("%10d %10d %10d\n", ids.Container, ids.Host, ids.Size)
		if !strings.Contains(string(report), line) {
			t.Errorf("the map lacks %q:\n%s", line, report)
		}
	}
	if strings.Contains(string(report), "CapEff:\t0000000000000000") {
		t.Errorf("no capabilities:\n%s", report)
	}
}

func TestRunInsidePassesSignals(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1) // which would end the test where it comes too early or late
	defer signal.Reset(syscall.SIGUSR1)
	file := t.TempDir() + "/ready"
	ended := make(chan struct{})
	go func() {
		for ; ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(file); err == nil {
				syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			}
			select {
			case <-ended:
				return
			default:
			}
		}
	}()
	code, err := runInside("signal", file)
	close(ended)
	if code != 9 || err != nil {
		t.Errorf("exit code %d, %v; want 9", code, err)
	}
}

// TestRunInsideEndsWithStarter kills what has run something inside.
func TestRunInsideEndsWithStarter(t *testing.T) {
	file := t.TempDir() + "/pid"
	runner := &exec.Cmd{Path: "/proc/self/exe", Args: []string{runnerName, file}, Stderr: os.Stderr}
	if err := runner.Start(); err != nil {
		t.Fatal(err)
	}
	pid := awaitPid(t, file)
	runner.Process.Kill()
	runner.Wait() // it was killed
	awaitEnd(t, pid)
}

// awaitPid waits until the process inside has written its pid.
func awaitPid(t *testing.T, file string) (pid int) {
	t.Helper()
	patience.Eventually(t, "it runs inside", func() bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(text))
		return err == nil
	})
	return pid
}

func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	patience.Eventually(t, "it has ended", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
}

// TestRunInsideCancelled ends the context while a process runs inside.
func TestRunInsideCancelled(t *testing.T) {
	m, _, err := PlanMap(ModeHost, CurrentCaller())
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/pid"
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	result := make(chan error, 1)
	go func() {
		_, err := RunInside(ctx, m, []string{"stay", file}, os.Environ())
		result <- err
	}()
	pid := awaitPid(t, file)
	cancel(enough)
	if err := <-result; !errors.Is(err, enough) {
		t.Errorf("ended with %v", err)
	}
	awaitEnd(t, pid)
	if _, err := RunInside(ctx, m, []string{"report", file}, os.Environ()); !errors.Is(err, enough) {
		t.Errorf("after the end of the context: %v", err)
	}
}

func TestRunInsideRefused(t *testing.T) {
	m := Map{UIDs: idmap.Map{{Host: 4_000_000_000, Size: 1}}, GIDs: idmap.Map{{Host: uint32(os.Getgid()), Size: 1}}}
	if os.Geteuid() == 0 {
		t.Skip("root may map what it likes")
	}
	code, err := RunInside(context.Background(), m, []string{"report", t.TempDir() + "/report"}, os.Environ())
	if err == nil || !strings.Contains(err.Error(), "write id map") {
		t.Errorf("a map of ids of other users: exit code %d, %v", code, err)
	}
}
