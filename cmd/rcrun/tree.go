package main

import (
	"strings"

	"github.com/docker/go-units"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
	"github.com/spf13/cobra"
)

// treeRow is a layer in a tree.
type treeRow struct {
	Layer string // the abbreviated chain id, or the container's layer, behind the branches of the tree
	ID    string // in full
	Kind  string // "image", "init" or "rw"
	Depth int
	Size  string
	Names string // of the images, or the container, that the layer is the uppermost of
}

func (a *app) treeCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "tree [flags] [IMAGE|CONTAINER...]",
		Short: "Print which layers images and containers consist of",
		Long: "Print which layers images and containers consist of. Of images, each layer stands below the one it\n" +
			"builds on, and one that several images share is printed once. Of a container, each layer stands below " +
			"the one\n" +
			"that hides it: its own, the one for mounts, those of the image.",
		Example: "  rcrun image tree\n  rcrun layer tree web",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				nodes, unmeasured, err := view.Tree(cmd.Context(), e, args)
				for _, err := range unmeasured {
					warn([]string{err.Error()})
				}
				if err != nil {
					return err
				}
				return printRows(treeRows(nodes), format, []column[treeRow]{
					{"LAYER", func(r treeRow) string { return r.Layer }},
					{"SIZE", func(r treeRow) string { return r.Size }},
					{"NAMES", func(r treeRow) string { return r.Names }},
				})
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "json, or a Go template")
	return cmd
}

func treeRows(nodes []view.Node) []treeRow {
	rows := make([]treeRow, len(nodes))
	for i, n := range nodes {
		rows[i] = treeRow{Layer: branch(n.Follow) + n.Title, ID: n.ID, Kind: n.Kind, Depth: len(n.Follow),
			Size: bytesText(n.Size), Names: strings.Join(n.Names, ", ")}
	}
	return rows
}

// branch draws the lines in front of a layer; follow says of each level, from the left, whether more follow there.
func branch(follow []bool) string {
	var line strings.Builder
	for i, more := range follow {
		switch last := i == len(follow)-1; {
		case last && more:
			line.WriteString("├─ ")
		case last:
			line.WriteString("└─ ")
		case more:
			line.WriteString("│  ")
		default:
			line.WriteString("   ")
		}
	}
	return line.String()
}

// bytesOf is a size in bytes that prints as Docker prints sizes.
type bytesOf int64

func (b bytesOf) String() string { return units.HumanSizeWithPrecision(float64(b), 3) }
