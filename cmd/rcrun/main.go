// Rcrun runs containers without root and without a daemon.
//
// The binary is also each of the processes of a container, and a union filesystem that is called like fuse-overlayfs:
// argv[0] tells it which. Everything about the command line
// is in this package: a command reads its flags into an options struct and makes one call to the packages below.
//
// Exit codes: 0; that of the container's or executed process (128+n where signal n killed it); 125 where rcrun itself
// could not do what was asked; 126 where the container's command cannot be executed, 127 where it is not there.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/runtime"
	"github.com/sirupsen/logrus"
	"go.podman.io/storage/pkg/reexec"
	"golang.org/x/sys/unix"
)

// stages are the processes of a container that this binary is re-executed as.
var stages = map[string]func() int{
	engine.MonitorStage:  engine.MonitorMain,
	engine.FuseStage:     engine.FuseMain,
	runtime.SandboxStage: func() int { return runtime.SandboxMain(engine.Roots()) },
	runtime.InitStage:    runtime.InitMain,
	runtime.ExecStage:    runtime.ExecMain,
	rootless.EnterStage:  enter,
}

func main() {
	// The store's libraries tell of every step, of all that they tidy up, and of errors that they return as well.
	logrus.SetLevel(logrus.FatalLevel)
	if stage, ok := stages[os.Args[0]]; ok {
		os.Exit(stage())
	}
	if reexec.Init() { // what the store's library runs in processes of its own
		return
	}
	closeInherited()
	keepOwnFiles()
	if calledAsOverlay(os.Args[0]) {
		os.Exit(overlayMain(os.Args[0], os.Args[1:]))
	}
	os.Exit(exitCode(execute(os.Args[1:])))
}

// enter is the stage in which a command comes into a user namespace. If its starter has given up, that tells why.
func enter() int {
	err := rootless.Enter()
	if errors.Is(err, io.EOF) {
		return engine.CodeEngine
	}
	return exitCode(err)
}

// closeInherited keeps what a shell has open beside the standard streams from the processes we start: a lock, or the
// pipe of a job, would be held for as long as the container lives.
func closeInherited() {
	unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) // a kernel without it leaves things as they are
}

// keepOwnFiles drops what a umask denies the owner: we could not open what we make, and a directory of that kind would
// stand in the way of all commands to come.
func keepOwnFiles() {
	unix.Umask(unix.Umask(0) &^ 0o700)
}

// hangupExit is the exit code of a command whose output has no reader any more, as of one that SIGPIPE killed.
const hangupExit = 141

// exitStatus is the end of a command with the exit code of a container's process.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// exitCode turns a command's error into the exit code, and prints it where it is one of ours.
func exitCode(err error) int {
	var status exitStatus
	var failure *engine.Failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.Is(err, engine.ErrHangup):
		return hangupExit
	}
	fmt.Fprintln(os.Stderr, "rcrun:", err)
	if errors.As(err, &failure) {
		return failure.Code
	}
	return engine.CodeEngine
}

func warn(warnings []string) {
	for _, warning := range warnings {
		fmt.Fprintln(os.Stderr, "rcrun: warning:", warning)
	}
}
