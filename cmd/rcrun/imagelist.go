package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
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
	options                 view.ImageListOptions
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
			filter := &list.options.Filter
			if err := parseFilters(filters, filling(filter, view.AddImageFilter)); err != nil {
				return err
			}
			filter.References = append(filter.References, args...)
			return a.with(func(e *layered.Engine) error { return list.run(cmd.Context(), e) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&all, "all", "a", false, "no effect: every image is listed anyway")
	flags.StringArrayVarP(&filters, "filter", "f", nil, "list only some: "+view.ImageFilterHelp)
	cmd.RegisterFlagCompletionFunc("filter", completeFilter(view.ImageFilterKeys,
		map[string][]string{"dangling": {"true", "false"}}))
	flags.BoolVar(&list.digests, "digests", false, "also print the digests of the manifests")
	flags.BoolVarP(&list.quiet, "quiet", "q", false, "print ids only")
	flags.BoolVar(&list.noTrunc, "no-trunc", false, "print ids in full")
	flags.StringVar(&list.format, "format", "", "json, or a Go template")
	return cmd
}

// run prints the list. Images that are damaged are printed as far as is known, before the error that tells of them.
func (l *imageListing) run(ctx context.Context, e *layered.Engine) error {
	for _, field := range []string{".SharedSize", ".UniqueSize", ".Containers"} {
		l.options.Measure = l.options.Measure || strings.Contains(l.format, field)
	}
	images, broken, err := view.Images(ctx, e, l.options)
	if err != nil {
		return err
	}
	rows := []imageRow{}
	for i := range images {
		rows = append(rows, l.rowsOf(&images[i], time.Now())...)
	}
	return errors.Join(append([]error{l.print(rows)}, broken...)...)
}

// rowsOf returns a row for each name of an image; with digests one for each digest that the name has.
func (l *imageListing) rowsOf(image *view.Image, now time.Time) []imageRow {
	created := time.Unix(image.Created, 0)
	row := imageRow{
		Repository: none, Tag: none, Digest: none, ID: shortDigest(digest.Digest(image.ID)),
		SharedSize: measured(image.SharedSize, bytesText), UniqueSize: measured(image.UniqueSize, bytesText),
		Containers: measured(image.Containers, countText),
		CreatedAt:  dateText(created), CreatedSince: units.HumanDuration(now.Sub(created)) + " ago",
		Size: bytesText(image.Size),
	}
	if l.noTrunc {
		row.ID = image.ID
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

// measured is the text of what takes long to find out; a negative number was not found out.
func measured(n int64, text func(n int64) string) string {
	if n < 0 {
		return notMeasured
	}
	return text(n)
}

func bytesText(n int64) string { return bytesOf(n).String() }
func countText(n int64) string { return strconv.FormatInt(n, 10) }

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
