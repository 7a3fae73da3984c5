package engine

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/rcrun/rcrun/internal/wire"
)

// self is the path by which a process executes its own binary, also after the file was replaced.
const self = "/proc/self/exe"

// wireFD is the descriptor on which a stage finds its socket.
const wireFD = 3

// spawn starts a stage in a session of its own and returns the socket to it. Its standard error goes to log.
func spawn(stage string, log *os.File) (*exec.Cmd, *wire.Conn, error) {
	conn, theirs, err := wire.Pair()
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", stage, err)
	}
	defer theirs.Close()
	cmd := &exec.Cmd{Path: self, Args: []string{stage}, Stderr: log, Dir: "/", Env: os.Environ(), ExtraFiles: []*os.File{theirs},
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
