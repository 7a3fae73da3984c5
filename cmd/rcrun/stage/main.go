// Stage is the program of a container's processes, and by any other name of a union filesystem that is called like
// fuse-overlayfs: argv[0] tells it which.
//
// It is what rcrun is without images and the command line. A process of rcrun takes 10 ms to start, one of this program
// 3: the difference is the initialisation of the libraries of images, and page faults (1,190 against 310). A container
// takes three such processes.
package main

import (
	"context"
	"os"

	"github.com/rcrun/rcrun/engine"
	_ "github.com/rcrun/rcrun/internal/entry" // where the program starts
	"github.com/rcrun/rcrun/internal/fuseoverlay"
	"github.com/rcrun/rcrun/internal/stage"
)

// version is set when the binary is linked.
var version = "dev"

func main() {
	if code, ok := stage.Run(engine.Stages(), os.Args[0]); ok {
		os.Exit(code)
	}
	engine.DropInherited()
	os.Exit(fuseoverlay.Main(context.Background(), os.Args[0], os.Args[1:], version, nil))
}
