package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/internal/escape"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/upkeep"
	"github.com/spf13/cobra"
)

func (a *app) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "store COMMAND",
		Short:   "Check and repair the directory that keeps images and containers",
		Example: "  rcrun store check --repair",
		Args:    arguments(0, 0),
	}
	cmd.AddCommand(a.storeCheckCommand())
	return cmd
}

// problemRow is something wrong with the store, as "store check" prints it.
type problemRow struct {
	Kind    string // "image", "layer", "container", "orphan", "leftover", "records"
	ID      string
	Names   []string
	Problem string
	Fixed   bool
	Action  string // what was done, or what to do
}

// storeCheck is how to check.
type storeCheck struct {
	upkeep.CheckOptions
	repair bool
	format string
}

func (a *app) storeCheckCommand() *cobra.Command {
	var check storeCheck
	cmd := &cobra.Command{
		Use:   "check [flags]",
		Short: "Look for what is broken or left over",
		Long: "Look for images, layers and containers that are listed but broken, and for files that nothing needs. " +
			"It may run\n" +
			"beside anything else. The exit code is 0 when all is well, or has been repaired.\n\n" +
			"--repair removes what is left over, and images and layers that cannot be used any more; an image that " +
			"came from\n" +
			"a registry can then be pulled again. Nothing that a container needs is removed.",
		Example: "  rcrun store check\n  rcrun store check --deep --repair",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error { return check.run(cmd.Context(), e) })
		},
	}
	cmd.Flags().BoolVar(&check.Deep, "deep", false,
		"read all files of the images' layers, and compare them with the digests on record")
	cmd.Flags().BoolVar(&check.repair, "repair", false, "remove what is broken or left over")
	cmd.Flags().StringVar(&check.format, "format", "", "json, or a Go template")
	return cmd
}

func (c *storeCheck) run(ctx context.Context, e *layered.Engine) error {
	var end func()
	c.Progress, end = progressLine("Checking layers", false)
	found, err := c.look(ctx, e)
	end()
	if err != nil {
		return err
	}
	rows := make([]problemRow, len(found))
	for i, r := range found {
		rows[i] = newProblemRow(r)
	}
	if err := c.print(rows); err != nil {
		return err
	}
	return c.verdict(rows)
}

// look finds the problems, and repairs them if that is asked for.
func (c *storeCheck) look(ctx context.Context, e *layered.Engine) (found []upkeep.Repaired, err error) {
	if c.repair {
		return e.Repair(ctx, c.CheckOptions)
	}
	problems, err := e.Check(ctx, c.CheckOptions)
	for _, p := range problems {
		found = append(found, upkeep.Repaired{Problem: p})
	}
	return found, err
}

func newProblemRow(r upkeep.Repaired) problemRow {
	return problemRow{Kind: string(r.Kind), ID: r.ID, Names: r.Names, Problem: r.Text, Fixed: r.Fixed,
		Action: action(r)}
}

// action is what a repair has done, or what the user may do.
func action(r upkeep.Repaired) string {
	switch r.Remedy {
	case upkeep.RemoveContainer:
		return "remove it: rcrun rm -f " + cmp.Or(r.ID, "ID, with the id that is named here")
	case upkeep.PullAgain:
		names := make([]string, len(r.Names))
		for i, name := range r.Names {
			names[i] = imagename.Familiar(name)
		}
		return r.Action + "; get it again: rcrun pull " + strings.Join(names, ", ")
	}
	return r.Action
}

// print prints the problems: a sentence each where no other format is wanted.
func (c *storeCheck) print(rows []problemRow) error {
	if c.format != "" {
		return printRows(rows, c.format, []column[problemRow]{})
	}
	for _, r := range rows {
		line := r.Kind
		if r.ID != "" {
			line += " " + r.ID
		}
		if len(r.Names) > 0 {
			line += fmt.Sprintf(" %v", r.Names)
		}
		line += ": " + r.Problem
		if r.Action != "" {
			line += " (" + r.Action + ")"
		}
		fmt.Println(escape.Text(line))
	}
	return nil
}

// verdict is the error that tells of problems which are still there.
func (c *storeCheck) verdict(rows []problemRow) error {
	open := 0
	for _, r := range rows {
		if !r.Fixed {
			open++
		}
	}
	switch {
	case open == 0:
		return nil
	case c.repair:
		return fmt.Errorf("%d of %d problems could not be repaired", open, len(rows))
	}
	noun := "problems"
	if open == 1 {
		noun = "problem"
	}
	return fmt.Errorf("found %d %s: rcrun store check --repair removes what is broken or left over", open, noun)
}
