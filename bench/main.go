// Bench measures this module beside other programs, always as an ordinary user:
//
//	bench start [FLAGS]    how long containers take to start
//	bench fs [FLAGS]       how fast the filesystem is
//	bench unpack [FLAGS]   how long it takes to load an image
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/rcrun/rcrun/bench/filesystem"
	"github.com/rcrun/rcrun/bench/startup"
	"github.com/rcrun/rcrun/bench/unpack"
)

func main() {
	if err := run(os.Args, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run starts the measurement that the arguments name. The filesystem benchmark executes this program again as its
// stages, which argv[0] names.
func run(args []string, out io.Writer) error {
	if stage, ok := filesystem.Stages()[args[0]]; ok {
		return stage()
	}
	commands := map[string]func([]string, io.Writer) error{"start": startup.Main, "fs": filesystem.Main,
		"unpack": unpack.Main}
	if len(args) > 1 {
		if command, ok := commands[args[1]]; ok {
			return command(args[2:], out)
		}
	}
	return fmt.Errorf("usage: bench start|fs|unpack [FLAGS]; bench start --help lists the flags of start")
}
