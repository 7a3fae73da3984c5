package tests

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rcrun/rcrun/tests/patience"
	"golang.org/x/sys/unix"
)

// runEnv marks the process that runs the tests. Its parent, superviseTests, becomes the parent of every process whose
// own parent has ended, so that everything that the tests began descends from it and nothing else does: no process of
// another run, of another program or of another account is ever counted or killed.
const runEnv = "RCRUN_TESTS_RUN"

// leaveTime is how long processes may take to end after a test, on an idle machine.
const leaveTime = 10 * time.Second

// superviseTests runs the tests in a child and then ends what they left. It returns the exit code.
func superviseTests() int {
	runtime.LockOSThread() // the child dies with this thread
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Println("become the parent of orphans:", err)
		return 1
	}
	tests := exec.Command("/proc/self/exe", os.Args[1:]...)
	tests.Args[0] = os.Args[0]
	tests.Env = append(os.Environ(), runEnv+"=1")
	tests.Stdin, tests.Stdout, tests.Stderr = os.Stdin, os.Stdout, os.Stderr
	tests.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if err := tests.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	go func() {
		for s := range signals {
			tests.Process.Signal(s) // the tests say what they are at, and end
		}
	}()
	status := reapUntil(tests.Process.Pid)
	if !familyEnds() && status == 0 {
		status = 1
	}
	return status
}

// reapUntil waits for all children that end until the given one does, and returns its exit code.
func reapUntil(child int) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			fmt.Println("wait for the tests:", err)
			return 1
		case pid == child && status.Signaled():
			fmt.Println("the tests were ended by a signal:", status.Signal())
			return 1
		case pid == child:
			return status.ExitStatus()
		}
	}
}

// familyEnds waits for the end of all processes that the tests began, and kills those that do not end.
func familyEnds() bool {
	for w := patience.Begin(leaveTime); ; time.Sleep(20 * time.Millisecond) {
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil) // an error: there are no children
		}
		left := descendants(os.Getpid())
		if len(left) == 0 {
			return true
		}
		if w.Over() {
			for _, pid := range left {
				fmt.Printf("left behind by the tests: process %d: %s\n", pid, commandLine(pid))
				syscall.Kill(pid, syscall.SIGKILL)
			}
			return false
		}
	}
}

// family returns the processes that this run of the tests began.
func family() []int {
	var found []int
	for _, pid := range descendants(os.Getppid()) {
		if pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	return found
}

// descendants returns the processes that descend from one.
func descendants(ancestor int) []int {
	children := map[int][]int{}
	for _, pid := range allProcesses() {
		parent := parentOf(pid)
		children[parent] = append(children[parent], pid)
	}
	found := children[ancestor]
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found
}

func allProcesses() []int {
	var pids []int
	names, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parentOf returns the parent of a process, and 0 when the process is gone.
func parentOf(pid int) (parent int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if end := strings.LastIndexByte(string(text), ')'); end >= 0 {
		var state string
		fmt.Sscan(string(text[end+1:]), &state, &parent)
	}
	return parent
}

// commandLine returns the arguments of a process, joined by spaces; "" when it is gone.
func commandLine(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.ReplaceAll(string(text), "\x00", " "), " ")
}

// TestOrphansAreFound leaves a process whose parent has ended: it counts as left behind by its user, and by no other.
func TestOrphansAreFound(t *testing.T) {
	u := newUser(t)
	started := u.succeeded(u.finish(u.command("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!")))
	pid, err := strconv.Atoi(started)
	if err != nil {
		t.Fatal(err)
	}
	if left := u.leftovers(); len(left.processes) != 1 || left.processes[0].pid != pid {
		t.Errorf("left behind is %q, want process %d", left, pid)
	}
	other := *u
	other.dir = u.dir + "-of-another"
	if left := other.leftovers(); !left.none() {
		t.Errorf("another user has left behind %q", left)
	}
	orphan := newProcess(pid)
	orphan.kill(t)
	eventually(t, "the process ends", orphan.gone)
}
