package engine

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/runtime"
)

// conversation returns the two ends of a connection.
func conversation(t *testing.T) (command, monitor *wire.Conn) {
	t.Helper()
	command, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	if monitor, err = wire.FromFile(theirs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Close(); monitor.Close() })
	return command, monitor
}

// An error of the monitor arrives in the command with its text, its class, its errno and its exit code.
func TestErrorCrossesProcesses(t *testing.T) {
	stage := wire.Errorf("exec", "exec", "sh", syscall.ENOENT)
	for name, c := range map[string]struct {
		err  error
		is   func(error) bool
		code int
	}{
		"conflict":  {conflictf("container web has ended"), errdefs.IsConflict, CodeEngine},
		"not found": {noContainer("web"), errdefs.IsNotFound, CodeEngine},
		"command": {
			&runtime.ExecError{Code: 127, Text: `exec: "sh": executable file not found in $PATH`, Err: stage},
			func(err error) bool { return errors.Is(err, syscall.ENOENT) }, 127,
		},
		"stage": {fmt.Errorf("set up: %w", stage), func(err error) bool { return errors.Is(err, syscall.ENOENT) },
			CodeEngine},
	} {
		command, monitor := conversation(t)
		tell(monitor, c.err)
		_, err := receive(command, msgStarted)
		if err == nil || err.Error() != c.err.Error() || !c.is(err) || ExitCode(err) != c.code || !isAnswer(err) {
			t.Errorf("%s: arrived as %v (%#v), exit code %d", name, err, err, ExitCode(err))
		}
	}
}

// The first version of the protocol had only a code and a text.
func TestErrorOfOldMonitor(t *testing.T) {
	command, monitor := conversation(t)
	monitor.Send("failed", struct {
		Code int
		Text string
	}{126, "exec: no command specified"})
	_, err := receive(command, msgStarted)
	if err == nil || err.Error() != "exec: no command specified" || ExitCode(err) != 126 {
		t.Errorf("arrived as %v, exit code %d", err, ExitCode(err))
	}
}

// A command of the first version reads the code and the text by these names.
func TestErrorForOldCommand(t *testing.T) {
	command, monitor := conversation(t)
	tell(monitor, conflictf("container web has ended"))
	message, err := command.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var old struct {
		Code int
		Text string
	}
	if err := message.Decode(&old); err != nil || message.Kind != "failed" || old.Code != CodeEngine ||
		old.Text != "container web has ended" {
		t.Errorf("%s message %s, %v", message.Kind, message.Body, err)
	}
}

// Only the process whose limit it is says what the limit is.
func TestLimitIsExplainedOnce(t *testing.T) {
	command, monitor := conversation(t)
	tell(monitor, &net.OpError{Op: "accept", Err: syscall.EMFILE})
	_, err := receive(command, msgStarted)
	if text := ExplainLimit(err).Error(); strings.Count(text, "ulimit -n") != 1 {
		t.Errorf("got %q", text)
	}
}
