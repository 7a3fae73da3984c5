package engine

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
	"github.com/rcrun/rcrun/runtime"
)

// self is the path by which a process executes its own binary, also after the file was replaced.
const self = "/proc/self/exe"

// wireFD is the descriptor on which a stage finds its socket.
const wireFD = 3

// Stages are the processes of a container, by the argv[0] that tells a program that it is one of them. EraseStage is
// not among them.
func Stages() map[string]func() int {
	return map[string]func() int{
		MonitorStage:         MonitorMain,
		FuseStage:            FuseMain,
		runtime.SandboxStage: func() int { return runtime.SandboxMain(Roots()) },
	}
}

// RunStage runs the stage of all that argv[0] names, and returns its exit code; ok is false where it names none.
func RunStage(all map[string]func() int, argv0 string) (code int, ok bool) {
	stage := all[argv0]
	if stage == nil {
		return 0, false
	}
	process.SetName(argv0)
	return stage(), true
}

// spawn starts a stage of the engine's program.
func (e *Engine) spawn(stage string, log *os.File) (*exec.Cmd, *wire.Conn, error) {
	return spawnFrom(e.Program, stage, log)
}

// spawnFrom starts a stage of what program opens, which may be nil, as may be its result.
func spawnFrom(program func() *os.File, stage string, log *os.File) (*exec.Cmd, *wire.Conn, error) {
	var file *os.File
	if program != nil {
		file = program()
	}
	if file == nil {
		return spawn(nil, stage, log)
	}
	defer file.Close()
	cmd, conn, err := spawn(file, stage, log)
	if errors.Is(err, fs.ErrPermission) { // a host may keep users from executing what is no file on a disk
		return spawn(nil, stage, log)
	}
	return cmd, conn, err
}

// spawn starts a stage of a program, this process's own for nil, in a session of its own and returns the socket to it.
// Its standard error goes to log.
func spawn(program *os.File, stage string, log *os.File) (*exec.Cmd, *wire.Conn, error) {
	conn, theirs, err := wire.Pair()
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", stage, err)
	}
	defer theirs.Close()
	path := self
	if program != nil {
		if program, err = executable.Open(program); err != nil {
			conn.Close()
			return nil, nil, fmt.Errorf("start %s: %w", stage, err)
		}
		defer program.Close()
		path = executable.Path(program)
	}
	cmd := &exec.Cmd{Path: path, Args: []string{stage}, Stderr: log, Dir: "/", Env: os.Environ(), ExtraFiles: []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("start %s: %w", stage, err)
	}
	return cmd, conn, nil
}

// stageConn is the stage's end of the socket that spawn made.
func stageConn() (*wire.Conn, error) {
	syscall.CloseOnExec(wireFD)
	return wire.FromFile(os.NewFile(wireFD, "wire"))
}
