// Package filesystem measures filesystems side by side: a plain directory, the kernel's overlay, fuse-overlayfs and
// this module's. All do the same work on the same trees.
//
// # Decisions and rationale
//
//   - Everything runs in a user namespace, because that is where an ordinary user can mount all of them. There the user
//     is root, as in a container.
//   - The subjects take turns within every round, so that other work of the machine affects all of them alike. Ratios
//     are taken within a round, and medians over the rounds. Only ratios mean anything on another machine.
//   - Every trial starts with a new mount and an empty upper directory. That is as cold as an ordinary user can make
//     it: the page cache of the files below stays warm, so the disk is not measured. A warm trial does its work twice.
//   - The files are in memory unless the user asks for a directory. On a disk, most of the time of work that makes or
//     removes many files is the disk's, and differs each time.
//   - This module's filesystem is measured twice: with owners on the disk, as the others have them, and as containers
//     have it, with owners as metadata and an index of each lower layer.
//   - No process and no mount is left behind, however a measurement ends: they end with their namespaces, and the
//     namespaces end with the process that measures, which ends when its parent does. The working directory is removed
//     in a namespace of the same ids. Only SIGKILL leaves it behind.
package filesystem

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// Options tell what to measure and what to do with the results.
type Options struct {
	Rounds        int
	Only          string   // a part of the names to measure, or a group; "" is everything
	Subjects      []string // names; none is all that are installed
	Scale         float64  // of the work; 1 is the full size
	Tree          string   // a tar of the tree to work on; "" makes a tree
	Dir           string   // to work in; "" is memory if it can hold the files, else the directory of temporary files
	Rcrun         string   // the binary
	FuseOverlayfs string   // the binary
	JSON          string   // a file for the results; "" for none
	SVG           string   // a directory for the charts; "" for none
}

// Main measures what the arguments ask for and prints the report to out.
func Main(args []string, out io.Writer) error {
	var o Options
	flags := flag.NewFlagSet("bench fs", flag.ExitOnError)
	flags.IntVar(&o.Rounds, "rounds", 3, "the number of rounds")
	flags.StringVar(&o.Only, "only", "", "measure only what has this in its name, or belongs to this `group`")
	flags.Func("subjects", "measure only these `subjects`, separated by commas", func(list string) error {
		o.Subjects = strings.Split(list, ",")
		return nil
	})
	flags.Float64Var(&o.Scale, "scale", 1, "reduce the work to this `fraction`")
	flags.StringVar(&o.Tree, "tree", "", "work on the tree in this tar `file` instead of a generated one")
	flags.StringVar(&o.Dir, "dir", "", "work in this `directory`, on its disk, instead of in memory")
	flags.StringVar(&o.Rcrun, "rcrun", "bin/fuse-rcrun", "measure this `binary`")
	flags.StringVar(&o.FuseOverlayfs, "fuse-overlayfs", fuseOverlayfs, "compare with this `binary`")
	flags.StringVar(&o.JSON, "json", "", "write all values to this `file`")
	flags.StringVar(&o.SVG, "svg", "", "draw charts into this `directory`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := Measure(ctx, o)
	if err != nil {
		return err
	}
	return report.publish(o, out)
}

// Measure measures in a working directory that it makes and removes.
func Measure(ctx context.Context, o Options) (report *Report, err error) {
	if o.Rounds < 1 || o.Scale <= 0 {
		return nil, errors.New("there must be at least one round, and a scale above 0")
	}
	if err := o.makeAbsolute(); err != nil {
		return nil, err
	}
	dir, err := makePlace(o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, runStage(context.Background(), removeStage, dir, nil))
	}()
	report = &Report{Machine: describeMachine(dir, o.FuseOverlayfs), Rounds: o.Rounds, Scale: o.Scale}
	if err := runStage(ctx, measureStage, request{Options: o, Place: dir}, &report.Rows); err != nil {
		return nil, err
	}
	return report, nil
}

// makeAbsolute makes the paths valid in another directory. It leaves names alone that are looked up in PATH.
func (o *Options) makeAbsolute() error {
	for _, path := range []*string{&o.Tree, &o.Rcrun, &o.FuseOverlayfs} {
		if !strings.Contains(*path, "/") {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
		*path = absolute
	}
	return nil
}
