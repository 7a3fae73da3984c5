// Rcrun runs containers without root and without a daemon.
//
// The processes of a container are a small program of their own (package stage below), which this one carries in itself
// and executes from memory, so that it can be copied alone. It can be each of them as well, and a union filesystem that
// is called like fuse-overlayfs: argv[0] tells it which.
//
// Everything about the command line is in this package, and nothing else: a command reads its flags into the options of
// a call to the packages below, makes the call, and prints what it returns. Where it does more than one thing (run
// provides the image, creates, starts and attaches; rm takes several names), it makes a call for each.
//
// Exit codes: 0; that of the container's or executed process (128+n where signal n killed it); 125 where rcrun itself
// could not do what was asked; 126 where the container's command cannot be executed, 127 where it is not there.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	_ "github.com/rcrun/rcrun/internal/entry" // where the program starts
	"github.com/rcrun/rcrun/internal/escape"
	"github.com/rcrun/rcrun/internal/executable"
	"github.com/rcrun/rcrun/internal/fuseoverlay"
	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/rootless"
	"github.com/sirupsen/logrus"
	"go.podman.io/storage/pkg/reexec"
)

func main() {
	// The store's libraries tell of every step, of all that they tidy up, and of errors that they return as well.
	logrus.SetLevel(logrus.FatalLevel)
	if code, ok := stage.Run(stages(), os.Args[0]); ok {
		os.Exit(code)
	}
	if reexec.Init() { // what the store's library runs in processes of its own
		return
	}
	engine.DropInherited()
	engine.SetHome()
	if fuseoverlay.Called(os.Args[0]) {
		os.Exit(fuseoverlay.Main(context.Background(), os.Args[0], os.Args[1:], version, stageProgram))
	}
	os.Exit(exitCode(execute(os.Args[1:])))
}

// stages are the processes that this binary is re-executed as: those of a container too, where stageProgram cannot be
// executed.
func stages() map[string]func() int {
	all := engine.Stages()
	all[engine.EraseStage] = layered.EraseMain
	all[rootless.EnterStage] = enter
	return all
}

// stageProgram returns the program of a container's processes, which is a small one because each of them pays for its
// start. It returns nil where this binary must be executed instead: it was built without the other, or the host has no
// programs in memory.
func stageProgram() *os.File {
	if embeddedStage == "" {
		return nil
	}
	file, err := executable.Seal("rcrun-stage", strings.NewReader(embeddedStage))
	if err != nil {
		return nil
	}
	return file
}

// enter is the stage in which a command comes into a user namespace. If its starter has given up, that tells why.
func enter() int {
	err := rootless.Enter()
	if errors.Is(err, io.EOF) {
		return engine.CodeEngine
	}
	return exitCode(err)
}

// hangupExit is the exit code of a command whose output has no reader any more, as of one that SIGPIPE killed.
const hangupExit = 141

// exitStatus is the end of a command with the exit code of a container's process.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// exitCode turns a command's error into the exit code, and prints it where it is one of ours.
func exitCode(err error) int {
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.Is(err, engine.ErrHangup):
		return hangupExit
	}
	printError(engine.ExplainLimit(err))
	printHint(err)
	return engine.ExitCode(err)
}

// printError prints an error, and each of several that were joined, as one of ours.
func printError(err error) {
	for _, line := range joined(err) {
		complain(withHint(line))
	}
}

// joined returns the errors that errors.Join has joined, in their order, or just the error.
func joined(err error) []error {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok || len(several.Unwrap()) == 0 {
		return []error{err}
	}
	parts := several.Unwrap()
	switch err.Error() {
	case parts[0].Error(): // with a class
		return joined(parts[0])
	case errors.Join(parts...).Error():
	default:
		return []error{err}
	}
	var all []error
	for _, part := range parts {
		all = append(all, joined(part)...)
	}
	return all
}

func warn(warnings []string) {
	for _, warning := range warnings {
		fmt.Fprintln(os.Stderr, "rcrun: warning:", withFlags(escape.Message(warning)))
	}
}
