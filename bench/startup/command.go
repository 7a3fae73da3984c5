// Package startup measures how long containers take to start: a whole "run --rm IMAGE true", beside podman's where
// podman is installed, and the parts of it that are processes of rcrun.
//
// The subjects take turns, each once in every round, so that other work of the machine affects all of them alike. The
// results are the medians over the rounds. Only ratios within one run mean anything.
package startup

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

type options struct {
	rcrun  string // the binary
	rounds int
	json   bool
}

// Main measures what the arguments ask for and prints the results to out.
func Main(args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("bench start", flag.ExitOnError)
	flags.StringVar(&o.rcrun, "rcrun", "bin/rcrun", "measure this `binary`")
	flags.IntVar(&o.rounds, "rounds", 20, "the number of rounds")
	flags.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return run(o, out)
}
func run(o options, out io.Writer) (err error) {
	work, err := os.MkdirTemp("/tmp", "rb")
	if err != nil {
		return fmt.Errorf("make a working directory: %w", err)
	}
	defer func() {
		if removeErr := os.RemoveAll(work); err == nil {
			err = removeErr
		}
	}()
	subjects, closeAll, err := prepare(o.rcrun, work)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := closeAll(); err == nil {
			err = closeErr
		}
	}()
	results, err := measure(subjects, o.rounds)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(out).Encode(results)
	}
	return printTable(out, results)
}

// printTable prints milliseconds, and for a subject with a reference the ratio to it.
func printTable(out io.Writer, results []result) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tmedian ms\tmin ms\tmax ms\tratio")
	for _, r := range results {
		ratio := ""
		if r.Ratio != 0 {
			ratio = fmt.Sprintf("%.2f of %s", r.Ratio, r.Reference)
		}
		fmt.Fprintln(table, strings.Join([]string{r.Name, millis(r.Median), millis(r.Min), millis(r.Max), ratio}, "\t"))
	}
	return table.Flush()
}

func millis(seconds float64) string { return fmt.Sprintf("%.1f", seconds*1000) }
