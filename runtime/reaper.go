package runtime

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/moby/sys/capability"
)

// reaperArg tells init to stay as the first process of the container.
const reaperArg = "reap"

// reaperMain is the first process of a container with Config.Init: it runs init as its child, hands on signals, waits
// for the orphans of the container and ends as the payload does. The wire is the child's alone.
func reaperMain() int {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	child, err := startInit()
	if err != nil {
		os.Stderr.WriteString("rcrun: init: start: " + err.Error() + "\n")
		return 1
	}
	if err := keepOnlyKill(); err != nil {
		os.Stderr.WriteString("rcrun: init: drop capabilities: " + err.Error() + "\n")
		return 1
	}
	go forward(signals, child)
	return reap(child)
}

func startInit() (pid int, err error) {
	conn := os.NewFile(wireFD, "wire")
	defer conn.Close()
	child, err := os.StartProcess(selfExe, []string{InitStage}, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, conn},
		Env:   []string{},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, err
	}
	pid = child.Pid
	return pid, child.Release() // reap waits for all children alike
}

// keepOnlyKill leaves all threads with nothing but what forwarding signals to another user takes.
func keepOnlyKill() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	kill := uint32(1 << uint(capability.CAP_KILL))
	return capsetAllThreads(&header, &[2]unix.CapUserData{{Effective: kill, Permitted: kill}})
}

// forward hands signals on to the payload, but those that concern this process alone: SIGURG is how Go preempts.
func forward(signals <-chan os.Signal, child int) {
	for sig := range signals {
		switch sig {
		case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE:
		default:
			unix.Kill(child, sig.(syscall.Signal)) // it may have ended; reap is about to find out
		}
	}
}

// reap waits for children until the payload ends, and returns its exit code.
func reap(payload int) int {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1
		case pid == payload:
			return exitStatus(syscall.WaitStatus(status)).Code
		}
	}
}

func exitStatus(status syscall.WaitStatus) ExitStatus {
	if status.Signaled() {
		return ExitStatus{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}
	}
	return ExitStatus{Code: status.ExitStatus()}
}
