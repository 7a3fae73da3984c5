package layered

import (
	"os"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/internal/stage"
	"go.podman.io/storage/pkg/reexec"
)

// RunStage runs the process of a container, or of the image store, that this process was executed as, and returns its
// exit code; ok is false where it was executed as itself. A program that imports the engine must call it first, because
// these processes are the program executed once more: its argv[0] tells which one.
func RunStage() (code int, ok bool) {
	all := engine.Stages()
	all[engine.EraseStage] = EraseMain
	if code, ok := stage.Run(all, os.Args[0]); ok {
		return code, true
	}
	return 0, reexec.Init()
}
