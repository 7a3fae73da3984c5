package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"

	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/events"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
	"github.com/rcrun/rcrun/internal/escape"
	"github.com/spf13/cobra"
)

// eventsFlags are the flags of events.
type eventsFlags struct {
	since, until, format string
	filters              []string
	noTrunc              bool
}

func (a *app) eventsCommand() *cobra.Command {
	var flags eventsFlags
	cmd := &cobra.Command{
		Annotations: usesStore(storeUnused),
		Use:         "events [flags]",
		Short:       "Show events of containers and images",
		Long: "Shows what is done with containers and images, as it happens, whichever command or program does it.\n" +
			"With --since, shows first what has been done since then; the last ten thousand events or so are kept.\n" +
			"Ends at the time of --until.",
		Example: "  rcrun events\n  rcrun events --since 10m --until 0s\n" +
			"  rcrun events -f type=container -f event=die --format '{{.Actor.Attributes.name}}'",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			query, err := flags.query(time.Now())
			if err != nil {
				return err
			}
			show, err := flags.printer()
			if err != nil {
				return err
			}
			return a.with(func(e *layered.Engine) error {
				return e.Containers.Events().Read(cmd.Context(), query, show)
			})
		},
	}
	cmd.Flags().StringVar(&flags.since, "since", "",
		"first show the events since this: a time (2006-01-02T15:04:05Z, 2006-01-02) or a duration (10m)")
	cmd.Flags().StringVar(&flags.until, "until", "", "end at this: a time, or a duration before now")
	cmd.Flags().StringVar(&flags.format, "format", "", "json, or a Go template")
	cmd.Flags().BoolVar(&flags.noTrunc, "no-trunc", true, "show ids in full; false shows their first characters")
	cmd.Flags().StringArrayVarP(&flags.filters, "filter", "f", nil, "show only some: KEY=VALUE with one of the keys "+
		strings.Join(events.FilterKeys(), ", "))
	cmd.RegisterFlagCompletionFunc("filter", completeFilter(events.FilterKeys(),
		map[string][]string{"type": {"container", "image"}, "scope": {"local"}}))
	return cmd
}

// query is what the flags select.
func (f *eventsFlags) query(now time.Time) (query events.Query, err error) {
	query = events.Query{Follow: true, Filter: events.Filter{}, Lost: func() {
		warn([]string{"events are missing here: they were removed before they could be shown"})
	}}
	if query.Since, err = view.ParseTime(f.since, now); err != nil {
		return query, fmt.Errorf("invalid --since %q: %w", f.since, err)
	}
	if query.Until, err = view.ParseTime(f.until, now); err != nil {
		return query, fmt.Errorf("invalid --until %q: %w", f.until, err)
	}
	for _, flag := range f.filters {
		key, value, hasValue := strings.Cut(flag, "=")
		if !hasValue {
			return query, fmt.Errorf("invalid --filter %q: want key=value", flag)
		}
		if err := query.Filter.Add(key, value); err != nil {
			return query, fmt.Errorf("invalid --filter %q: %w", flag, err)
		}
	}
	return query, nil
}

// printer prints an event as the flags say.
func (f *eventsFlags) printer() (func(api.Message) error, error) {
	show := printEvent
	switch f.format {
	case "":
	case "json":
		show = func(message api.Message) error { return printEncoded(message, "") }
	default:
		t, err := parseTemplate(f.format)
		if err == nil {
			err = checkTemplate(t, api.Message{})
		}
		if err != nil {
			return nil, err
		}
		out := templateOutput(f.format)
		show = func(message api.Message) error { return printTemplate(out, []api.Message{message}, t) }
	}
	if f.noTrunc {
		return show, nil
	}
	return func(message api.Message) error {
		message.Actor.ID = engine.ShortID(message.Actor.ID)
		return show(message)
	}, nil
}

// checkTemplate finds a field that a row does not have before there is any row.
func checkTemplate(t *template.Template, row any) error {
	if err := t.Execute(io.Discard, row); err != nil {
		return errTemplate(err)
	}
	return nil
}

// eventTime is Docker's form of the time of an event: all have the same length.
const eventTime = "2006-01-02T15:04:05.000000000Z07:00"

// printEvent prints an event as a line of text.
func printEvent(message api.Message) error {
	var line bytes.Buffer
	fmt.Fprintf(&line, "%s %s %s %s", time.Unix(0, message.TimeNano).Format(eventTime), message.Type, message.Action,
		message.Actor.ID)
	var attributes []string
	for _, key := range slices.Sorted(maps.Keys(message.Actor.Attributes)) {
		attributes = append(attributes, key+"="+message.Actor.Attributes[key])
	}
	if len(attributes) > 0 {
		fmt.Fprintf(&line, " (%s)", strings.Join(attributes, ", "))
	}
	_, err := fmt.Fprintln(os.Stdout, escape.Text(line.String()))
	return err
}
