package main

import (
	"cmp"
	"fmt"
	"maps"
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
	all, latest, quiet, noTrunc, size bool

	last    int
	format  string
	filters []string
}

func (a *app) psCommand() *cobra.Command {
	var list psListing
	cmd := &cobra.Command{
		Use:     "ps [flags]",
		Short:   "List containers",
		Example: "  rcrun ps -a\n  rcrun ps -a --format '{{.Names}} {{.Status}}'\n  rcrun rm $(rcrun ps -q --filter status=exited)",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(list.run)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&list.all, "all", "a", false, "list containers that do not run, too")
	flags.BoolVarP(&list.latest, "latest", "l", false, "list only the container created last")
	flags.IntVarP(&list.last, "last", "n", -1, "list only the containers created last, as many as this")
	flags.StringArrayVarP(&list.filters, "filter", "f", nil,
		"list only some: KEY=VALUE, with the keys "+strings.Join(filterKeys, ", "))
	cmd.RegisterFlagCompletionFunc("filter", completeFilter(filterKeys,
		map[string][]string{"status": filterStates, "health": filterHealth}))
	flags.BoolVarP(&list.quiet, "quiet", "q", false, "print ids only")
	flags.BoolVar(&list.noTrunc, "no-trunc", false, "print ids and commands in full")
	flags.BoolVarP(&list.size, "size", "s", false, "print what each container has written")
	flags.StringVar(&list.format, "format", "", "json, or a Go template")
	return cmd
}

// run prints the containers that are wanted.
func (l *psListing) run(e *layered.Engine) error {
	keep, err := parseFilters(l.filters)
	if err == nil {
		err = keep.lookUp(e)
	}
	if err != nil {
		return err
	}
	list, broken, err := e.Containers()
	if err != nil {
		return err
	}
	for _, err := range broken {
		warn([]string{err.Error()})
	}
	if l.latest {
		l.last = 1
	}
	all := l.all || l.last > 0 || keep.status != nil
	list = slices.DeleteFunc(list, func(c *engine.Container) bool {
		return !all && c.State.Status != engine.Running || !keep.matches(c)
	})
	if l.last > 0 {
		list = list[:min(l.last, len(list))]
	}
	return l.print(e, list)
}

func (l *psListing) print(e *layered.Engine, list []*engine.Container) error {
	rows := make([]psRow, len(list))
	for i, c := range list {
		rows[i] = newPSRow(c, l.noTrunc, time.Now())
	}
	if l.quiet {
		for _, row := range rows {
			fmt.Println(row.ID)
		}
		return nil
	}
	if l.size || strings.Contains(l.format, ".Size") {
		if err := addSizes(e, list, rows); err != nil {
			return err
		}
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
	if l.size {
		columns = append(columns, column[psRow]{"SIZE", func(r psRow) string { return r.Size }})
	}
	return printRows(rows, l.format, columns)
}

// addSizes measures what containers have written: "5kB (virtual 80MB)" is with the image.
func addSizes(e *layered.Engine, list []*engine.Container, rows []psRow) error {
	store, err := e.Store()
	if err != nil {
		return err
	}
	for i, c := range list {
		written := sizeOrWarn(store, c.ID)
		rows[i].Size = written.String()
		if image, err := store.Image(c.ImageID); c.ImageID != "" && err == nil {
			rows[i].Size += fmt.Sprintf(" (virtual %s)", bytesOf(image.Size)+written)
		}
	}
	return nil
}

func newPSRow(c *engine.Container, noTrunc bool, now time.Time) psRow {
	row := psRow{
		ID: c.ID, Image: c.ImageName, Command: strconv.Quote(c.CommandLine()),
		CreatedAt:  c.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"),
		RunningFor: units.HumanDuration(now.Sub(c.Created)) + " ago", Status: c.StatusText(now), State: string(c.State.Status),
		Ports: portsText(c), Names: c.Name, ExitCode: c.State.ExitCode, Pid: c.State.Pid,
		Labels: labelsText(c.Config.Labels), labels: c.Config.Labels, Mounts: mountsText(c, noTrunc),
		LocalVolumes: "0", Networks: c.Network(), Size: bytesOf(0).String(),
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

// labelsText lists labels by name: a=1,b=2.
func labelsText(labels map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, name+"="+labels[name])
	}
	return strings.Join(all, ",")
}

// mountsText lists where on the host the mounts of a container come from.
func mountsText(c *engine.Container, noTrunc bool) string {
	const width = 15
	mounts, err := c.Mounts()
	if err != nil {
		return ""
	}
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

// portsText lists what a running container publishes, 0.0.0.0:8080->80/tcp, and exposes, 9000/tcp.
func portsText(c *engine.Container) string {
	if c.State.Status != engine.Running {
		return ""
	}
	var ports []string
	for port, bindings := range c.State.Ports {
		for _, b := range bindings {
			ports = append(ports, fmt.Sprintf("%s:%s->%s", cmp.Or(b.HostIP, "0.0.0.0"), b.HostPort, port))
		}
	}
	for port := range c.Config.ExposedPorts {
		if len(c.State.Ports[port]) == 0 {
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return strings.Join(ports, ", ")
}
