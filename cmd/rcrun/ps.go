package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
	"github.com/spf13/cobra"
)

// psRow is a container as ps prints it, with the names that Docker's templates use.
type psRow struct {
	ID           string `heading:"CONTAINER ID"`
	Image        string
	Command      string
	CreatedAt    string
	RunningFor   string `heading:"CREATED"`
	Status       string
	State        string
	Ports        string
	Names        string
	Labels       string
	Mounts       string
	LocalVolumes string
	Networks     string
	Size         string // what the container has written, and with its image; "0B" where nobody wants to know
	ExitCode     int
	Pid          int

	labels map[string]string
}

// Label returns the value of a label, "" without it.
func (r psRow) Label(name string) string { return r.labels[name] }

// psListing is how to list containers.
type psListing struct {
	view.ListOptions
	latest, quiet, noTrunc bool

	format  string
	filters []string
}

func (a *app) psCommand() *cobra.Command {
	var list psListing
	cmd := &cobra.Command{
		Annotations: usesStore(storeForSizes),
		Use:         "ps [flags]",
		Short:       "List containers",
		Example: "  rcrun ps -a\n  rcrun ps -a --format '{{.Names}} {{.Status}}'\n" +
			"  rcrun rm $(rcrun ps -q --filter status=exited)",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error { return list.run(cmd.Context(), e) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&list.All, "all", "a", false, "list all containers, also those that do not run")
	flags.BoolVarP(&list.latest, "latest", "l", false,
		"list the last container that was created, also if it does not run")
	flags.IntVarP(&list.Limit, "last", "n", -1,
		"list the last N containers that were created, also those that do not run")
	flags.StringArrayVarP(&list.filters, "filter", "f", nil,
		"list only some: KEY=VALUE, with the keys "+strings.Join(view.FilterKeys, ", "))
	cmd.RegisterFlagCompletionFunc("filter", completeFilter(view.FilterKeys,
		map[string][]string{"status": view.FilterStates, "health": view.FilterHealth}))
	flags.BoolVarP(&list.quiet, "quiet", "q", false, "print ids only")
	flags.BoolVar(&list.noTrunc, "no-trunc", false, "print ids and commands in full")
	flags.BoolVarP(&list.Size, "size", "s", false, "print how much each container has written")
	flags.StringVar(&list.format, "format", "", "json, or a Go template")
	return cmd
}

// run prints the containers that are wanted.
func (l *psListing) run(ctx context.Context, e *layered.Engine) error {
	options := l.ListOptions
	if err := parseFilters(l.filters, options.Filter.Add); err != nil {
		return err
	}
	if l.latest {
		options.Limit = 1
	}
	options.Size = !l.quiet && (l.Size || strings.Contains(l.format, ".Size"))
	list, broken, err := view.Containers(ctx, e, options)
	for _, err := range broken {
		warn([]string{err.Error()})
	}
	if err != nil {
		return err
	}
	return l.print(list)
}

func (l *psListing) print(list []view.Container) error {
	rows := make([]psRow, len(list))
	for i := range list {
		rows[i] = newPSRow(&list[i], l.noTrunc, time.Now())
	}
	if l.quiet {
		for _, row := range rows {
			fmt.Println(row.ID)
		}
		return nil
	}
	columns := []column[psRow]{
		{"CONTAINER ID", func(r psRow) string { return r.ID }},
		{"IMAGE", func(r psRow) string { return r.Image }},
		{"COMMAND", func(r psRow) string { return r.Command }},
		{"CREATED", func(r psRow) string { return r.RunningFor }},
		{"STATUS", func(r psRow) string { return r.Status }},
		{"PORTS", func(r psRow) string { return r.Ports }},
		{"NAMES", func(r psRow) string { return r.Names }},
	}
	if l.Size {
		columns = append(columns, column[psRow]{"SIZE", func(r psRow) string { return r.Size }})
	}
	return printRows(rows, l.format, columns)
}

func newPSRow(c *view.Container, noTrunc bool, now time.Time) psRow {
	created := time.Unix(c.Created, 0)
	row := psRow{
		ID: c.ID, Image: c.Image, Command: strconv.Quote(c.Command), CreatedAt: dateText(created),
		RunningFor: units.HumanDuration(now.Sub(created)) + " ago", Status: c.Status, State: string(c.State),
		Ports: portsText(c.Ports), Names: strings.TrimPrefix(strings.Join(c.Names, ","), "/"), ExitCode: c.ExitCode,
		Pid: c.Pid, Labels: labelsText(c.Labels), labels: c.Labels, Mounts: mountsText(c.Mounts, noTrunc),
		LocalVolumes: "0", Networks: networksText(c.NetworkSettings), Size: sizesText(c),
	}
	if !noTrunc {
		row.ID = engine.ShortID(row.ID)
		row.Command = strconv.Quote(shorten(c.Command, 20))
	}
	return row
}

// dateText is a point in time as Docker's lists have it.
func dateText(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -0700 MST") }

// sizesText is what a container has written: "5kB (virtual 80MB)" is with its image.
func sizesText(c *view.Container) string {
	text := bytesOf(c.SizeRw).String()
	if c.ImageID != "" && c.SizeRootFs > 0 {
		text += fmt.Sprintf(" (virtual %s)", bytesOf(c.SizeRootFs))
	}
	return text
}

func networksText(settings *container.NetworkSettingsSummary) string {
	return strings.Join(slices.Sorted(maps.Keys(settings.Networks)), ",")
}

// labelsText lists labels by name: a=1,b=2.
func labelsText(labels map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, name+"="+labels[name])
	}
	return strings.Join(all, ",")
}

// mountsText lists where on the host the mounts of a container come from.
func mountsText(mounts []container.MountPoint, noTrunc bool) string {
	const width = 15
	var sources []string
	for _, m := range mounts {
		source := m.Source
		if !noTrunc {
			source = shorten(source, width)
		}
		sources = append(sources, source)
	}
	return strings.Join(sources, ",")
}

// portsText lists what a container publishes, 0.0.0.0:8080->80/tcp, and exposes, 9000/tcp.
func portsText(ports []container.PortSummary) string {
	var texts []string
	for _, p := range ports {
		text := fmt.Sprintf("%d/%s", p.PrivatePort, p.Type)
		if p.PublicPort != 0 {
			text = fmt.Sprintf("%s:%d->%s", p.IP, p.PublicPort, text)
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}
