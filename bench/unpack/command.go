// Package unpack measures how long it takes to bring an image into the store, beside podman where podman is installed.
// It measures "load" of the same archive, with its layer compressed and not, and "pull" from a registry on the loopback
// interface where docker-registry is installed. The same user runs all engines, with stores beside each other.
//
// # Decisions and rationale
//
//   - The engines take turns in every round. Ratios are taken within a round, and medians last.
//   - Every turn has an empty store, and all stores are removed at the end. On ext4, making files where others have
//     just been removed takes several times as long, because ext4 does not reuse the inodes for a while and searches
//     past all of them each time.
//   - Before each turn everything that waits to be written is written, so that no engine pays for the one before. The
//     measurement ends with the command: an engine that leaves its writing to later has an advantage.
//   - Memory is the largest resident size of any process of the command, which the kernel reports when the command has
//     ended.
package unpack

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/rcrun/rcrun/bench/stats"
)

type options struct {
	rcrun  string // the binary
	tree   string // a tar of a root filesystem
	dir    string // to work in
	rounds int
	json   bool
}

// Main measures what the arguments ask for and prints the results to out.
func Main(args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("bench unpack", flag.ExitOnError)
	flags.StringVar(&o.rcrun, "rcrun", "bin/rcrun", "measure this `binary`")
	flags.StringVar(&o.tree, "tree", ".cache/debian-bookworm.tar",
		"the tar `file` of the tree that the image consists of")
	flags.StringVar(&o.dir, "dir", "/var/tmp", "work in a new directory in this `directory`")
	flags.IntVar(&o.rounds, "rounds", 3, "the number of rounds")
	flags.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	if err := flags.Parse(args); err != nil {
		return err
	}
	results, err := run(o)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(out).Encode(results)
	}
	return printTable(out, results)
}

// result is what an engine needed for an archive.
type result struct {
	Archive string    `json:"archive"`
	Engine  string    `json:"engine"`
	Seconds []float64 `json:"seconds"`
	Memory  []float64 `json:"memory"`          // in MiB
	Ratio   float64   `json:"ratio,omitempty"` // of the time to podman's
}

// compare sets the ratios.
func compare(results []result) {
	for i := range results {
		for _, reference := range results {
			ratio := stats.Ratio(results[i].Seconds, reference.Seconds)
			if reference.Archive == results[i].Archive && reference.Engine == podmanName &&
				results[i].Engine != podmanName && !math.IsNaN(ratio) {
				results[i].Ratio = ratio
			}
		}
	}
}

func printTable(out io.Writer, results []result) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "image from\tengine\tmedian s\tmost MiB\tratio to podman")
	for _, r := range results {
		ratio := ""
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", r.Ratio)
		}
		fmt.Fprintf(table, "%s\t%s\t%.2f\t%.0f\t%s\n", r.Archive, r.Engine, stats.Median(r.Seconds),
			stats.Median(r.Memory), ratio)
	}
	return table.Flush()
}

// run measures in a directory that it makes and removes.
func run(o options) (_ []result, err error) {
	for _, path := range []*string{&o.rcrun, &o.tree} {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, fmt.Errorf("find %s: %w", *path, err)
		}
	}
	dir, err := os.MkdirTemp(o.dir, "rcrun-bench-unpack.")
	if err != nil {
		return nil, fmt.Errorf("make a working directory: %w", err)
	}
	defer func() {
		if removeErr := os.RemoveAll(dir); err == nil {
			err = removeErr
		}
	}()
	return measure(o, dir)
}
