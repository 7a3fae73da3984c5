package engine

import (
	"os"
	"os/exec"

	"github.com/rcrun/rcrun/fusefs/mounted"
	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/runtime"
)

// Stages are the processes of a container, by the argv[0] that tells a program that it is one of them. EraseStage is
// not among them.
func Stages() map[string]func() int {
	return map[string]func() int{
		MonitorStage:         MonitorMain,
		mounted.Stage:        mounted.Main,
		runtime.SandboxStage: func() int { return runtime.SandboxMain(Roots()) },
	}
}

// spawn starts a stage of the engine's program.
func (e *Engine) spawn(name string, log *os.File) (*exec.Cmd, *wire.Conn, error) {
	return stage.Start(e.Program, name, log)
}
