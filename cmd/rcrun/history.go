package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
	"github.com/spf13/cobra"
)

// historyRow is a step of an image's history, with the names that Docker's templates use.
type historyRow struct {
	ID           string `heading:"IMAGE"`
	CreatedAt    string
	CreatedSince string `heading:"CREATED"`
	CreatedBy    string
	Size         string
	Comment      string
}

// createdByWidth is how much of a command the table shows.
const createdByWidth = 45

type historyFlags struct {
	quiet, noTrunc, human bool
	format                string
}

func (a *app) historyCommand() *cobra.Command {
	var flags historyFlags
	cmd := &cobra.Command{
		Use:               "history [flags] IMAGE",
		Short:             "Show the steps that made an image",
		Example:           "  rcrun history debian:12\n  rcrun history --no-trunc --format '{{.CreatedBy}}' debian:12",
		Args:              arguments(1, 1),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				steps, err := view.History(cmd.Context(), e, args[0])
				if err != nil {
					return err
				}
				return printHistory(historyRows(steps, flags, time.Now()), flags)
			})
		},
	}
	cmd.Flags().BoolVarP(&flags.quiet, "quiet", "q", false, "print ids only")
	cmd.Flags().BoolVar(&flags.noTrunc, "no-trunc", false, "print ids and commands in full")
	cmd.Flags().BoolVarP(&flags.human, "human", "H", true, "print sizes and dates for people")
	cmd.Flags().StringVar(&flags.format, "format", "", "json, or a Go template")
	return cmd
}

// historyRows describes the steps.
func historyRows(steps []view.Step, flags historyFlags, now time.Time) []historyRow {
	rows := []historyRow{}
	for _, step := range steps {
		row := historyRow{ID: step.ID, CreatedBy: step.CreatedBy, Comment: step.Comment}
		if sum, isImage := strings.CutPrefix(step.ID, "sha256:"); isImage && !flags.noTrunc {
			row.ID = engine.ShortID(sum)
		}
		if !flags.noTrunc {
			row.CreatedBy = shorten(row.CreatedBy, createdByWidth)
		}
		if step.Made != nil {
			row.CreatedAt = step.Made.Format(time.RFC3339)
			row.CreatedSince = units.HumanDuration(now.Sub(*step.Made)) + " ago"
		}
		row.Size = strconv.FormatInt(step.Size, 10)
		if flags.human {
			row.Size = bytesOf(step.Size).String()
		}
		rows = append(rows, row)
	}
	return rows
}

func printHistory(rows []historyRow, flags historyFlags) error {
	if flags.quiet {
		for _, row := range rows {
			fmt.Println(row.ID)
		}
		return nil
	}
	created := column[historyRow]{"CREATED", func(r historyRow) string { return r.CreatedSince }}
	if !flags.human {
		created = column[historyRow]{"CREATED AT", func(r historyRow) string { return r.CreatedAt }}
	}
	return printRows(rows, flags.format, []column[historyRow]{
		{"IMAGE", func(r historyRow) string { return r.ID }},
		created,
		{"CREATED BY", func(r historyRow) string { return r.CreatedBy }},
		{"SIZE", func(r historyRow) string { return r.Size }},
		{"COMMENT", func(r historyRow) string { return r.Comment }},
	})
}
