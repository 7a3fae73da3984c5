package runtime

import (
	"fmt"
	goruntime "runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

// fileLimit returns the limit of open files that the process was started with. The payload gets it where the
// specification has none. At the start of a program Go raises the soft limit, does not tell what it was, and restores
// it in what the program executes. So this executes a child, stops it before its first instruction, and asks the kernel
// for its limit.
func fileLimit() (limit unix.Rlimit, err error) {
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return limit, err
	}
	if limit.Cur != limit.Max-1 { // Go raises it to this
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
	unix.Kill(pid, unix.SIGKILL) // its number is not reused before it is waited for
	for stopped {
		stopped = waitFor(pid)
	}
	return limit, err
}

// waitFor waits until a traced child stops, and returns true, or has ended.
func waitFor(pid int) bool {
	var status unix.WaitStatus
	_, err := eintr.Retry(func() (int, error) { return unix.Wait4(pid, &status, 0, nil) })
	return err == nil && status.Stopped()
}
