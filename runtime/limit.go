package runtime

import (
	"fmt"
	goruntime "runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

// fileLimit returns the limit of open files that the process was started with, which is the payload's where the
// specification has none. Go raises the soft limit for itself at the start of a program, tells nobody what it was, and
// takes that back in what it executes. So the kernel is asked for the limit of such a child, which is stopped before
// its first instruction.
func fileLimit() (limit unix.Rlimit, err error) {
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return limit, err
	}
	if limit.Cur != limit.Max-1 { // which is what Go raises it to
		return limit, nil
	}
	goruntime.LockOSThread() // the tracer is a thread
	defer goruntime.UnlockOSThread()
	pid, err := syscall.ForkExec(selfExe, []string{SandboxStage}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return limit, fmt.Errorf("start a traced process: %w", err)
	}
	stopped := waitFor(pid)
	err = unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit)
	unix.Kill(pid, unix.SIGKILL) // it is ours and not waited for
	for stopped {
		stopped = waitFor(pid)
	}
	return limit, err
}

// waitFor waits until a traced child stops, which it reports as true, or has ended.
func waitFor(pid int) bool {
	var status unix.WaitStatus
	_, err := eintr.Retry(func() (int, error) { return unix.Wait4(pid, &status, 0, nil) })
	return err == nil && status.Stopped()
}
