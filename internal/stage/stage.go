// Package stage starts the processes that the program consists of. Each is a stage: the program executed once more,
// with a task of its own that argv[0] names, and a socket to the process that has started it.
package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"github.com/rcrun/rcrun/internal/executable"
	"github.com/rcrun/rcrun/internal/process"
	"github.com/rcrun/rcrun/internal/wire"
)

// Self is the path by which a process executes its own binary, also after the file was replaced.
const Self = "/proc/self/exe"

// wireFD is the descriptor on which a stage finds its socket.
const wireFD = 3

// Run runs the stage of all that argv[0] names, and returns its exit code; ok is false where it names none.
func Run(all map[string]func() int, argv0 string) (code int, ok bool) {
	stage := all[argv0]
	if stage == nil {
		return 0, false
	}
	process.SetName(argv0)
	return stage(), true
}

// Start starts a stage of the program that open returns. Both may be nil: then, and where the host does not let the
// program be executed, the stage is of this process's own program.
func Start(open func() *os.File, name string, log *os.File) (*exec.Cmd, *wire.Conn, error) {
	var file *os.File
	if open != nil {
		file = open()
	}
	if file == nil {
		return StartOf(nil, name, log)
	}
	defer file.Close()
	cmd, conn, err := StartOf(file, name, log)
	if errors.Is(err, fs.ErrPermission) { // a host may keep users from executing what is no file on a disk
		return StartOf(nil, name, log)
	}
	return cmd, conn, err
}

// StartOf starts a stage of a program, this process's own for nil, in a session of its own and returns the socket to
// it. Its standard error goes to log.
func StartOf(program *os.File, name string, log *os.File) (*exec.Cmd, *wire.Conn, error) {
	conn, theirs, err := wire.Pair()
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer theirs.Close()
	path := Self
	if program != nil {
		if program, err = executable.Open(program); err != nil {
			conn.Close()
			return nil, nil, fmt.Errorf("start %s: %w", name, err)
		}
		defer program.Close()
		path = executable.Path(program)
	}
	cmd := &exec.Cmd{Path: path, Args: []string{name}, Stderr: log, Dir: "/", Env: os.Environ(),
		ExtraFiles: []*os.File{theirs}, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	return cmd, conn, nil
}

// Conn returns the stage's end of the socket to the process that has started it.
func Conn() (*wire.Conn, error) {
	syscall.CloseOnExec(wireFD)
	return wire.FromFile(os.NewFile(wireFD, "wire"))
}
