// Bench measures, side by side with others and always as an ordinary user, what there is to be measured:
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

// run is also each of the processes that the filesystem benchmark consists of: argv[0] tells which.
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
	return fmt.Errorf("usage: bench start|fs|unpack [FLAGS]; --help after any of them tells the flags")
}
