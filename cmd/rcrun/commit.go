package main

import (
	"context"
	"fmt"
	"io"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/internal/atomicfile"
	"github.com/rcrun/rcrun/layers/progress"
	"github.com/rcrun/rcrun/layers/tree"
	"github.com/spf13/cobra"
)

// pauseHelp says what pausing means here, which is less than what Docker stops.
const pauseHelp = "hold up the container's writes meanwhile: its processes run on, and those that write wait; " +
	"with false, each file is as it is when it is read"

func (a *app) commitCommand() *cobra.Command {
	var options layered.CommitOptions
	var idFile string
	cmd := &cobra.Command{
		Use:   "commit [flags] CONTAINER [NAME[:TAG]]",
		Short: "Make an image from the changes of a container",
		Long: "Makes an image of a container: the layers of its image and one of what it has changed, without what " +
			"is in its volumes.\n" +
			"The configuration is that of the container, with the changes given by --change. Prints the image's id.",
		Example: "  rcrun commit web web:edited\n" +
			"  rcrun commit -m 'add tools' -c 'CMD [\"bash\"]' -c 'ENV DEBUG=1' web tools:v1",
		Args:              arguments(1, 2),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				options.Name = args[1]
			}
			return a.forEach(cmd.Context(), args[:1], func(e *layered.Engine, c *engine.Container, _ string) error {
				show, end := progressLine("Committing", false)
				options.Progress = show
				id, err := e.Commit(cmd.Context(), c, options)
				end()
				if err != nil {
					return err
				}
				fmt.Println("sha256:" + id)
				if idFile == "" {
					return nil
				}
				return atomicfile.Write(idFile, []byte("sha256:"+id), 0o644)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&options.Author, "author", "a", "", "author, for instance \"Jo <jo@example.org>\"")
	flags.StringArrayVarP(&options.Changes, "change", "c", nil, changeHelp)
	flags.StringVarP(&options.Message, "message", "m", "", "comment in the image's history")
	flags.BoolVarP(&options.Pause, "pause", "p", true, pauseHelp)
	flags.BoolVarP(&options.Squash, "squash", "s", false, "make one layer of the image's layers and the changes")
	flags.StringVar(&idFile, "iidfile", "", "also write the image's id to this file")
	return cmd
}

func (a *app) exportCommand() *cobra.Command {
	var output string
	var pause bool
	cmd := &cobra.Command{
		Use:   "export [flags] CONTAINER",
		Short: "Write a container's filesystem as one tar",
		Long: "Writes all files of a container, running or not, as one tar: its image and its changes, " +
			"without what is in its volumes.",
		Example:           "  rcrun export -o web.tar web\n  rcrun export web | rcrun import - web:flat",
		Args:              arguments(1, 1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.forEach(cmd.Context(), args, func(e *layered.Engine, c *engine.Container, _ string) error {
				show, end := progressLine("Exporting", false)
				defer end()
				return writeOutput(cmd.Context(), output, func(ctx context.Context, w io.Writer) error {
					return e.Export(ctx, c, progress.CountWritten(w, show), pause)
				})
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default standard output)")
	cmd.Flags().BoolVar(&pause, "pause", true, pauseHelp)
	return cmd
}

// diffRow is a change as diff prints it.
type diffRow struct {
	Kind string // A, C or D
	Path string // as pathText writes it, in JSON and templates too
}

var diffKinds = map[tree.ChangeKind]string{tree.Added: "A", tree.Modified: "C", tree.Deleted: "D"}

func (a *app) diffCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "diff [flags] CONTAINER",
		Short: "List the changes that a container has made to its image",
		Long: "Lists the files that a container has added (A), changed (C) and deleted (D). Only what it has changed " +
			"is read, however\n" +
			"large the image is. In names, a backslash is printed as \\\\, a newline as \\n" +
			" and other control characters and bytes that are\n" +
			"not UTF-8 as \\xHH, wherever the output goes: printf %b turns them back.",
		Example:           "  rcrun diff web\n  rcrun diff --format json web",
		Args:              arguments(1, 1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.forEach(cmd.Context(), args, func(e *layered.Engine, c *engine.Container, _ string) error {
				changes, err := e.Changes(cmd.Context(), c)
				if err != nil {
					return err
				}
				rows := make([]diffRow, len(changes))
				for i, change := range changes {
					rows[i] = diffRow{diffKinds[change.Kind], pathText(change.Path)}
				}
				return printDiff(rows, format)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "json, or a Go template")
	return cmd
}

func printDiff(rows []diffRow, format string) error {
	if format != "" {
		return printRows(rows, format, nil)
	}
	for _, row := range rows {
		fmt.Println(row.Kind, row.Path)
	}
	return nil
}
