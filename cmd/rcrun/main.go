// Rcrun runs containers without root and without a daemon.
//
// The binary is also each of the processes of a container: argv[0] tells it which. Everything about the command line
// is in this package: a command reads its flags into an options struct and makes one call to the packages below.
//
// Exit codes: 0; that of the container's or executed process (128+n where signal n killed it); 125 where rcrun itself
// could not do what was asked; 126 where the container's command cannot be executed, 127 where it is not there.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/runtime"
	"github.com/sirupsen/logrus"
)

// stages are the processes of a container that this binary is re-executed as.
var stages = map[string]func() int{
	engine.MonitorStage:  engine.MonitorMain,
	engine.FuseStage:     engine.FuseMain,
	runtime.SandboxStage: func() int { return runtime.SandboxMain(engine.Roots()) },
	runtime.InitStage:    runtime.InitMain,
	runtime.ExecStage:    runtime.ExecMain,
}

func main() {
	logrus.SetLevel(logrus.WarnLevel) // the store's libraries tell of every step otherwise
	if stage, ok := stages[os.Args[0]]; ok {
		os.Exit(stage())
	}
	os.Exit(exitCode(execute(os.Args[1:])))
}

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
