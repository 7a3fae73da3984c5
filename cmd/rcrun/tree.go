package main

import (
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
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
			"builds on, and one that several images share is printed once. Of a container, each layer stands below the one\n" +
			"that hides it: its own, the one for mounts, those of the image.",
		Example: "  rcrun image tree\n  rcrun layer tree web",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				rows, err := treeOf(e, args)
				if err != nil {
					return err
				}
				return printRows(rows, format, []column[treeRow]{
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

// treeOf returns the trees of the images and containers named, or of all images.
func treeOf(e *layered.Engine, names []string) ([]treeRow, error) {
	store, err := e.Store()
	if err != nil {
		return nil, err
	}
	rows := []treeRow{}
	var wanted []string
	for _, name := range names {
		c, err := e.Lookup(name)
		switch {
		case err == nil:
			branch, err := containerTree(store, c)
			if err != nil {
				return nil, err
			}
			rows = append(rows, branch...)
		case !errdefs.IsNotFound(err):
			return nil, err
		default:
			image, err := store.Image(name)
			if err != nil {
				return nil, err
			}
			for _, layer := range image.Layers {
				wanted = append(wanted, layer.ID)
			}
		}
	}
	if len(names) > 0 && len(wanted) == 0 {
		return rows, nil
	}
	forest, err := imageTree(store, wanted)
	return append(rows, forest...), err
}

// containerTree is the chain of a container's layers, from the one that takes its changes down.
func containerTree(s *layers.Store, c *engine.Container) ([]treeRow, error) {
	rows := []treeRow{{Layer: "rw", ID: c.ID, Kind: "rw", Size: sizeOrWarn(s, c.ID).String(), Names: c.Name}}
	rows = append(rows, treeRow{Layer: engine.ShortID(c.ID) + "-init", ID: initID(c), Kind: "init", Size: bytesOf(0).String()})
	chain, err := imageChain(s, c.ImageID)
	for _, l := range chain {
		rows = append(rows, imageLayerRow(l))
	}
	if len(chain) > 0 {
		rows[2].Names = c.ImageName
	}
	for i := range rows {
		rows[i].Depth = i
		rows[i].Layer = branch(make([]bool, i)) + rows[i].Layer
	}
	return rows, err
}

func imageLayerRow(l layers.LayerInfo) treeRow {
	return treeRow{Layer: shortDigest(l.ChainID), ID: l.ChainID.String(), Kind: "image", Size: bytesOf(l.Size).String()}
}

// imageTree is the forest of the layers with the cache ids wanted, or of all.
func imageTree(s *layers.Store, wanted []string) ([]treeRow, error) {
	all, err := s.ImageLayers()
	if err != nil {
		return nil, err
	}
	images, err := s.Images()
	f := forest{children: map[digest.Digest][]layers.LayerInfo{}, images: images}
	for _, l := range all {
		if wanted == nil || slices.Contains(wanted, l.CacheID) {
			f.add(l)
		}
	}
	f.grow("", nil)
	return f.rows, err
}

// forest is a tree of layers being written down.
type forest struct {
	children map[digest.Digest][]layers.LayerInfo // by chain id; those without a parent under ""
	images   []layers.Image
	rows     []treeRow
}

// add plants a layer. The store may have it twice, where two imports brought the same tar: it is shown as one.
func (f *forest) add(l layers.LayerInfo) {
	siblings := f.children[l.Parent]
	if i := slices.IndexFunc(siblings, func(have layers.LayerInfo) bool { return have.ChainID == l.ChainID }); i >= 0 {
		siblings[i].Images = slices.Concat(siblings[i].Images, l.Images)
		return
	}
	f.children[l.Parent] = append(siblings, l)
}

// grow adds the layers on top of the one with the chain id parent. follow says of each level above whether more
// layers follow there.
func (f *forest) grow(parent digest.Digest, follow []bool) {
	for i, l := range f.children[parent] {
		here := follow
		if parent != "" {
			here = append(slices.Clip(follow), i < len(f.children[parent])-1)
		}
		row := imageLayerRow(l)
		row.Layer, row.Depth, row.Names = branch(here)+row.Layer, len(here), imageNames(f.images, l.Images)
		f.rows = append(f.rows, row)
		f.grow(l.ChainID, here)
	}
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
