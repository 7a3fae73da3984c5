package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/spf13/cobra"
)

func (a *app) logsCommand() *cobra.Command {
	var options engine.LogOptions
	var tail, since, until string
	cmd := &cobra.Command{
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
			if options.Since, err = parseTime(since, time.Now()); err != nil {
				return fmt.Errorf("invalid --since %q: %w", since, err)
			}
			if options.Until, err = parseTime(until, time.Now()); err != nil {
				return fmt.Errorf("invalid --until %q: %w", until, err)
			}
			return a.forEach(args, func(_ *layered.Engine, c *engine.Container, _ string) error {
				return c.Logs(options, os.Stdout, os.Stderr)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&options.Follow, "follow", "f", false, "go on until the container ends")
	flags.BoolVarP(&options.Timestamps, "timestamps", "t", false, "print the time of each line")
	flags.BoolVar(&options.Details, "details", false,
		"leave room for details before each line, of which there are none")
	flags.StringVarP(&tail, "tail", "n", "all", "print only the last lines")
	flags.StringVar(&since, "since", "",
		"print only what is newer: a time (2006-01-02T15:04:05Z, 2006-01-02) or a duration (10m)")
	flags.StringVar(&until, "until", "", "print only what is older: a time, or a duration")
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

// timeLayouts are the forms of a point in time that Docker takes. Without a zone they are local times.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15",
	"2006-01-02Z07:00", time.DateOnly}

// parseTime reads a point in time, or a duration before now. "" is the zero time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	if t, ok := parseUnix(text); ok {
		return t, nil
	}
	return time.Time{}, errors.New("want a time such as 2006-01-02T15:04:05Z or 2006-01-02, a duration such as 10m, " +
		"or Unix seconds")
}

// parseUnix reads seconds since 1970 with up to nine digits of a fraction.
func parseUnix(text string) (t time.Time, ok bool) {
	const digits = 9
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > digits {
		return t, false
	}
	nanoseconds, err := strconv.ParseUint(fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		return t, false
	}
	return time.Unix(seconds, int64(nanoseconds)), true
}
