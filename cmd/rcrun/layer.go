package main

import (
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
	"github.com/rcrun/rcrun/layers"
	"github.com/spf13/cobra"
)

func (a *app) layerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "layer COMMAND",
		Short:   "Show the layers of images and containers",
		Example: "  rcrun layer ls\n  rcrun layer tree web\n  rcrun layer inspect sha256:...",
		Args:    arguments(0, 0),
	}
	cmd.AddCommand(a.layerListCommand(), a.layerInspectCommand(), a.treeCommand())
	return cmd
}

// layerRow is a layer as "layer ls" prints it.
type layerRow struct {
	ChainID   string `heading:"CHAIN ID"`
	DiffID    string `heading:"DIFF ID"`
	CacheID   string `heading:"CACHE ID"`
	Parent    string
	Size      string
	CreatedAt string `heading:"CREATED"`
	Images    int
}

func (a *app) layerListCommand() *cobra.Command {
	var quiet, noTrunc bool
	var format string
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List the layers that images consist of",
		Example: "  rcrun layer ls\n  rcrun layer ls --format '{{.ChainID}} {{.Size}}' --no-trunc",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				all, err := view.Layers(cmd.Context(), e)
				if err != nil {
					return err
				}
				return printLayers(all, quiet, noTrunc, format)
			})
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print chain ids only")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "print ids in full")
	cmd.Flags().StringVar(&format, "format", "", "json, or a Go template")
	return cmd
}

func printLayers(all []layers.LayerInfo, quiet, noTrunc bool, format string) error {
	show := shortDigest
	if noTrunc {
		show = digest.Digest.String
	}
	rows := []layerRow{}
	for _, l := range all {
		row := layerRow{ChainID: show(l.ChainID), DiffID: show(l.DiffID), CacheID: l.CacheID, Parent: show(l.Parent),
			Size: units.HumanSizeWithPrecision(float64(l.Size), 3), CreatedAt: l.Created.Local().Format(time.DateTime),
			Images: len(l.Images)}
		if !noTrunc {
			row.CacheID = engine.ShortID(l.CacheID)
		}
		rows = append(rows, row)
	}
	if quiet {
		format = "{{.ChainID}}"
	}
	return printRows(rows, format, []column[layerRow]{
		{"CHAIN ID", func(r layerRow) string { return r.ChainID }},
		{"DIFF ID", func(r layerRow) string { return r.DiffID }},
		{"CACHE ID", func(r layerRow) string { return r.CacheID }},
		{"PARENT", func(r layerRow) string { return r.Parent }},
		{"SIZE", func(r layerRow) string { return r.Size }},
		{"CREATED", func(r layerRow) string { return r.CreatedAt }},
	})
}

// shortDigest is the abbreviation of a digest that people read; "" stays.
func shortDigest(d digest.Digest) string {
	if d == "" {
		return ""
	}
	return engine.ShortID(d.Encoded())
}

func (a *app) layerInspectCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "inspect [flags] LAYER|CONTAINER...",
		Short: "Print all that is known of layers",
		Long: "Print all that is known of layers. A layer is named by its chain id, cache id or diff id, or an " +
			"abbreviation.\n" +
			"A container stands for the layers that it has on top of its image.",
		Example: "  rcrun layer inspect $(rcrun layer ls -q)\n  rcrun layer inspect -f '{{.Parent}}' web",
		Args:    arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				objects := []any{}
				for _, name := range args {
					object, err := view.InspectLayer(cmd.Context(), e, name)
					if err != nil {
						return err
					}
					objects = append(objects, object)
				}
				if format != "" && format != "json" {
					return printObjects(objects, format)
				}
				return printJSON(objects)
			})
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "json, or a Go template")
	return cmd
}
