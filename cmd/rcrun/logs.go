package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
	"github.com/spf13/cobra"
)

func (a *app) logsCommand() *cobra.Command {
	var options engine.LogOptions
	var tail, since, until string
	cmd := &cobra.Command{
		Annotations:       usesStore(storeUnused),
		Use:               "logs [flags] CONTAINER",
		Short:             "Print what a container wrote to its output",
		Example:           "  rcrun logs -f --tail 10 web\n  rcrun logs --since 2026-01-31 --until 10m web",
		Args:              arguments(1, 1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if options.Tail, err = parseTail(tail); err != nil {
				return err
			}
			if options.Since, err = view.ParseTime(since, time.Now()); err != nil {
				return fmt.Errorf("invalid --since %q: %w", since, err)
			}
			if options.Until, err = view.ParseTime(until, time.Now()); err != nil {
				return fmt.Errorf("invalid --until %q: %w", until, err)
			}
			return a.forEach(cmd.Context(), args, func(_ *layered.Engine, c *engine.Container, _ string) error {
				return c.Logs(cmd.Context(), options, os.Stdout, os.Stderr)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&options.Follow, "follow", "f", false, "go on until the container ends")
	flags.BoolVarP(&options.Timestamps, "timestamps", "t", false, "print the time of each line")
	flags.BoolVar(&options.Details, "details", false,
		"no effect but a space before each line: there are no details")
	flags.StringVarP(&tail, "tail", "n", "all", "print only the last lines")
	flags.StringVar(&since, "since", "",
		"print only lines after this: a time (2006-01-02T15:04:05Z, 2006-01-02) or a duration (10m)")
	flags.StringVar(&until, "until", "", "print only lines before this: a time, or a duration")
	return cmd
}

// parseTail reads a number of lines; a negative one stands for all.
func parseTail(text string) (int, error) {
	if text == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("invalid --tail %q: want a number of lines, or all", text)
	}
	return n, nil
}
