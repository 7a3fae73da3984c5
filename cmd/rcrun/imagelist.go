package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
	"github.com/spf13/cobra"
)

// imageRow is an image under one of its names, with the names that Docker's templates use.
type imageRow struct {
	Repository   string
	Tag          string
	ID           string `heading:"IMAGE ID"`
	CreatedAt    string
	CreatedSince string `heading:"CREATED"`
	Size         string
	Digest       string
	SharedSize   string // of the layers that other images have, too
	UniqueSize   string
	Containers   string // how many are made of it
}

// imageListing is how to list images.
type imageListing struct {
	filter                  layers.ImageFilter
	quiet, noTrunc, digests bool
	format                  string
}

// notMeasured stands for what takes long to find out, where no template asks for it.
const notMeasured = "N/A"

// none stands where an image has no name, or no digest, to show.
const none = "<none>"

func (a *app) imagesCommand() *cobra.Command {
	var list imageListing
	var filters []string
	var all bool
	cmd := &cobra.Command{
		Use:   "images [flags] [NAME[:TAG]]",
		Short: "List images",
		Example: "  rcrun images\n  rcrun images --filter dangling=true -q\n  rcrun images --digests 'debian:*'\n" +
			"  rcrun images --format '{{.Repository}}:{{.Tag}}'",
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if list.filter, err = parseImageFilters(filters, time.Now()); err != nil {
				return err
			}
			list.filter.References = append(list.filter.References, args...)
			return a.with(list.run)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&all, "all", "a", false, "no effect: every image is listed anyway")
	flags.StringArrayVarP(&filters, "filter", "f", nil, "list only some: "+imageFilterKeys)
	cmd.RegisterFlagCompletionFunc("filter", completeFilter([]string{"before", "dangling", "label", "reference", "since", "until"},
		map[string][]string{"dangling": {"true", "false"}}))
	flags.BoolVar(&list.digests, "digests", false, "print the digests of the manifests, too")
	flags.BoolVarP(&list.quiet, "quiet", "q", false, "print ids only")
	flags.BoolVar(&list.noTrunc, "no-trunc", false, "print ids in full")
	flags.StringVar(&list.format, "format", "", "json, or a Go template")
	return cmd
}

// run prints the list. Images that are damaged are printed as far as is known, before the error that tells of them.
func (l *imageListing) run(e *layered.Engine) error {
	s, err := e.Store()
	if err != nil {
		return err
	}
	images, broken := s.Images()
	if images, err = s.FilterImages(images, l.filter); err != nil {
		return err
	}
	use, err := l.measure(e)
	if err != nil {
		return err
	}
	if err := l.print(l.rows(images, use, time.Now())); err != nil {
		return err
	}
	return broken
}

// measure finds out what the images take, for a template that asks for it; nil for others.
func (l *imageListing) measure(e *layered.Engine) (*diskUse, error) {
	for _, field := range []string{".SharedSize", ".UniqueSize", ".Containers"} {
		if strings.Contains(l.format, field) {
			return measureImages(e)
		}
	}
	return nil, nil
}

func (l *imageListing) rows(images []layers.Image, use *diskUse, now time.Time) []imageRow {
	rows := []imageRow{}
	for i := range images {
		for _, row := range l.rowsOf(&images[i], now) {
			if image := use.image(images[i].ID); image != nil {
				row.SharedSize, row.UniqueSize = bytesOf(image.Shared).String(), bytesOf(image.Unique).String()
				row.Containers = strconv.Itoa(use.users(image.ID))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// rowsOf returns a row for each name of an image; with digests one for each digest that the name has.
func (l *imageListing) rowsOf(image *layers.Image, now time.Time) []imageRow {
	row := imageRow{
		Repository: none, Tag: none, Digest: none, ID: engine.ShortID(image.ID),
		SharedSize: notMeasured, UniqueSize: notMeasured, Containers: notMeasured,
		CreatedAt:    image.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"),
		CreatedSince: units.HumanDuration(now.Sub(image.Created)) + " ago",
		Size:         units.HumanSizeWithPrecision(float64(image.Size), 3),
	}
	if l.noTrunc {
		row.ID = digest.NewDigestFromEncoded(digest.SHA256, image.ID).String()
	}
	if len(image.RepoTags) == 0 {
		return withDigests(row, image.RepoDigests, l.digests)
	}
	var rows []imageRow
	for _, name := range image.RepoTags {
		colon := strings.LastIndex(name, ":")
		row.Repository, row.Tag, row.Digest = name[:colon], name[colon+1:], none
		for _, known := range image.RepoDigests {
			if repository, sum, _ := strings.Cut(known, "@"); repository == row.Repository {
				row.Digest = sum
				break
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// withDigests returns the rows of an image that has no tag: one for each repository that it was pulled from by digest.
func withDigests(row imageRow, repoDigests []string, every bool) []imageRow {
	var rows []imageRow
	for _, name := range repoDigests {
		row.Repository, row.Digest, _ = strings.Cut(name, "@")
		known := func(r imageRow) bool { return r.Repository == row.Repository }
		if every || !slices.ContainsFunc(rows, known) {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return []imageRow{row}
	}
	return rows
}

func (l *imageListing) print(rows []imageRow) error {
	if l.quiet {
		seen := map[string]bool{}
		for _, row := range rows {
			if !seen[row.ID] {
				fmt.Println(row.ID)
			}
			seen[row.ID] = true
		}
		return nil
	}
	columns := []column[imageRow]{
		{"REPOSITORY", func(r imageRow) string { return r.Repository }},
		{"TAG", func(r imageRow) string { return r.Tag }},
		{"IMAGE ID", func(r imageRow) string { return r.ID }},
		{"CREATED", func(r imageRow) string { return r.CreatedSince }},
		{"SIZE", func(r imageRow) string { return r.Size }},
	}
	if l.digests {
		columns = slices.Insert(columns, 2, column[imageRow]{"DIGEST", func(r imageRow) string { return r.Digest }})
	}
	return printRows(rows, l.format, columns)
}

// imageFilterKeys are the filters that parseImageFilters knows, for people.
const imageFilterKeys = "dangling=BOOL, label=KEY[=VALUE], label!=KEY[=VALUE], before=IMAGE, since=IMAGE, until=TIME, reference=PATTERN"

// parseImageFilters reads key=value pairs. Of a key that is given several times, all labels must fit, and one of the
// references; of the others the last counts.
func parseImageFilters(flags []string, now time.Time) (f layers.ImageFilter, err error) {
	for _, flag := range flags {
		key, value, hasValue := strings.Cut(flag, "=")
		if !hasValue {
			return f, fmt.Errorf("invalid --filter %q: want key=value", flag)
		}
		switch key {
		case "dangling":
			dangling, err := strconv.ParseBool(value)
			if err != nil {
				return f, fmt.Errorf("invalid --filter %q: want true or false", flag)
			}
			f.Dangling = &dangling
		case "label":
			f.Labels = append(f.Labels, value)
		case "label!":
			f.NotLabels = append(f.NotLabels, value)
		case "before":
			f.Before = value
		case "since", "after":
			f.Since = value
		case "reference":
			f.References = append(f.References, value)
		case "until":
			if f.Until, err = parseTime(value, now); err != nil {
				return f, fmt.Errorf("invalid --filter %q: %w", flag, err)
			}
		default:
			return f, fmt.Errorf("invalid --filter %q: known are %s", flag, imageFilterKeys)
		}
	}
	return f, nil
}
