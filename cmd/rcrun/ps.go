package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/spf13/cobra"
)

// psRow is a container as ps prints it, with the names that Docker's templates use.
type psRow struct {
	ID         string
	Image      string
	Command    string
	CreatedAt  string
	RunningFor string
	Status     string
	State      string
	Ports      string
	Names      string
	ExitCode   int
	Pid        int
}

func (a *app) psCommand() *cobra.Command {
	var all, latest, quiet, noTrunc bool
	var last int
	var format string
	var filters []string
	cmd := &cobra.Command{
		Use:     "ps [flags]",
		Short:   "List containers",
		Example: "  rcrun ps -a\n  rcrun ps -a --format '{{.Names}} {{.Status}}'\n  rcrun rm $(rcrun ps -q --filter status=exited)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				list, broken, err := e.Containers()
				if err != nil {
					return err
				}
				for _, err := range broken {
					warn([]string{err.Error()})
				}
				if latest {
					last = 1
				}
				keep, err := parseFilters(filters)
				if err != nil {
					return err
				}
				all = all || last > 0 || keep.status != nil
				list = slices.DeleteFunc(list, func(c *engine.Container) bool {
					return !all && c.State.Status != engine.Running || !keep.matches(c)
				})
				if last > 0 {
					list = list[:min(last, len(list))]
				}
				return printContainers(list, quiet, noTrunc, format)
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "list containers that do not run, too")
	cmd.Flags().BoolVarP(&latest, "latest", "l", false, "list only the container created last")
	cmd.Flags().IntVarP(&last, "last", "n", -1, "list only the containers created last, as many as this")
	cmd.Flags().StringArrayVarP(&filters, "filter", "f", nil, "list only some: id=, name=, status=, ancestor=, label=KEY[=VALUE]")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print ids only")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "print ids and commands in full")
	cmd.Flags().StringVar(&format, "format", "", "json, or a Go template")
	return cmd
}

func printContainers(list []*engine.Container, quiet, noTrunc bool, format string) error {
	rows := make([]psRow, len(list))
	for i, c := range list {
		rows[i] = newPSRow(c, noTrunc, time.Now())
	}
	if quiet {
		for _, row := range rows {
			fmt.Println(row.ID)
		}
		return nil
	}
	return printRows(rows, format, []column[psRow]{
		{"CONTAINER ID", func(r psRow) string { return r.ID }},
		{"IMAGE", func(r psRow) string { return r.Image }},
		{"COMMAND", func(r psRow) string { return r.Command }},
		{"CREATED", func(r psRow) string { return r.RunningFor }},
		{"STATUS", func(r psRow) string { return r.Status }},
		{"PORTS", func(r psRow) string { return r.Ports }},
		{"NAMES", func(r psRow) string { return r.Names }},
	})
}

func newPSRow(c *engine.Container, noTrunc bool, now time.Time) psRow {
	row := psRow{
		ID: c.ID, Image: c.ImageName, Command: strconv.Quote(c.CommandLine()), CreatedAt: c.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"),
		RunningFor: units.HumanDuration(now.Sub(c.Created)) + " ago", Status: c.StatusText(now), State: string(c.State.Status),
		Ports: portsText(c), Names: c.Name, ExitCode: c.State.ExitCode, Pid: c.State.Pid,
	}
	if row.Image == "" {
		row.Image = c.HostConfig.Rootfs
	}
	if !noTrunc {
		row.ID = engine.ShortID(row.ID)
		row.Command = strconv.Quote(shorten(c.CommandLine(), 20))
	}
	return row
}

// portsText lists what a running container publishes: 0.0.0.0:8080->80/tcp.
func portsText(c *engine.Container) string {
	if c.State.Status != engine.Running {
		return ""
	}
	var ports []string
	for port, bindings := range c.State.Ports {
		for _, b := range bindings {
			ip := b.HostIP
			if ip == "" {
				ip = "0.0.0.0"
			}
			ports = append(ports, fmt.Sprintf("%s:%s->%s", ip, b.HostPort, port))
		}
	}
	slices.Sort(ports)
	return strings.Join(ports, ", ")
}

func (a *app) logsCommand() *cobra.Command {
	var options engine.LogOptions
	var tail, since string
	cmd := &cobra.Command{
		Use:               "logs [flags] CONTAINER",
		Short:             "Print what a container wrote to its output",
		Example:           "  rcrun logs -f --tail 10 web",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if options.Tail, err = parseTail(tail); err != nil {
				return err
			}
			if options.Since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
			return a.forEach(args, func(_ *layered.Engine, c *engine.Container, _ string) error {
				return c.Logs(options, os.Stdout, os.Stderr)
			})
		},
	}
	cmd.Flags().BoolVarP(&options.Follow, "follow", "f", false, "go on until the container ends")
	cmd.Flags().BoolVarP(&options.Timestamps, "timestamps", "t", false, "print the time of each line")
	cmd.Flags().StringVarP(&tail, "tail", "n", "all", "print only the last lines")
	cmd.Flags().StringVar(&since, "since", "", "print only what is newer: a time (2006-01-02T15:04:05Z) or a duration (10m)")
	return cmd
}

func parseTail(text string) (int, error) {
	if text == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("invalid --tail %q: want a number of lines, or all", text)
	}
	return n, nil
}

// parseSince reads a point in time, or a duration before now.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	return time.Time{}, fmt.Errorf("invalid --since %q: want a time such as 2006-01-02T15:04:05Z, a duration such as 10m, or Unix seconds", text)
}
