package view

import (
	"context"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
)

// The kinds of nodes in a tree of layers.
const (
	ImageNode    = "image" // a layer of an image
	InitNode     = "init"  // a container's layer for mounts
	WritableNode = "rw"    // the layer that takes a container's changes
)

// Node is a layer in a tree.
type Node struct {
	Title string // the abbreviated chain id, or what the layer is of a container
	ID    string // in full
	Kind  string
	Size  int64    // in bytes
	Names []string // of the images, or the container, that the layer is the uppermost of
	// Follow says of each level above, from the root, whether more layers follow there: its length is the depth.
	Follow []bool
}

// Tree returns the layers that images and containers consist of, of all images where none is named. Of images, each
// layer stands below the one that it builds on, and one that several images share is there once. Of a container, each
// layer stands below the one that hides it.
func Tree(ctx context.Context, e *layered.Engine, refs []string) (nodes []Node, unmeasured []error, err error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, nil, err
	}
	var wanted []string
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nodes, unmeasured, err
		}
		c, err := e.Containers.Lookup(ctx, ref)
		switch {
		case err == nil:
			chain, damaged, err := containerTree(ctx, store, c)
			if err != nil {
				return nil, unmeasured, err
			}
			nodes, unmeasured = append(nodes, chain...), append(unmeasured, damaged...)
		case !errdefs.IsNotFound(err):
			return nil, unmeasured, err
		default:
			image, err := store.Image(ctx, ref)
			if err != nil {
				return nil, unmeasured, err
			}
			for _, layer := range image.Layers {
				wanted = append(wanted, layer.ID)
			}
		}
	}
	if len(refs) > 0 && len(wanted) == 0 {
		return nodes, unmeasured, nil
	}
	forest, err := imageTree(ctx, store, wanted)
	return append(nodes, forest...), unmeasured, err
}

// containerTree is the chain of a container's layers, from the one that takes its changes down.
func containerTree(ctx context.Context, s *layers.Store, c *engine.Container) (nodes []Node, unmeasured []error,
	err error) {
	size, err := written(ctx, s, c.ID)
	if err != nil {
		unmeasured = append(unmeasured, err)
	}
	nodes = []Node{
		{Title: WritableNode, ID: c.ID, Kind: WritableNode, Size: size, Names: []string{c.Name}},
		{Title: engine.ShortID(c.ID) + "-init", ID: initID(c), Kind: InitNode},
	}
	chain, err := imageChain(ctx, s, c.ImageID)
	for _, l := range chain {
		nodes = append(nodes, imageNode(l))
	}
	if len(chain) > 0 {
		nodes[2].Names = []string{c.ImageName}
	}
	for i := range nodes {
		nodes[i].Follow = make([]bool, i)
	}
	return nodes, unmeasured, err
}

func imageNode(l layers.LayerInfo) Node {
	return Node{Title: engine.ShortID(l.ChainID.Encoded()), ID: l.ChainID.String(), Kind: ImageNode, Size: l.Size}
}

// imageTree is the forest of the layers with the cache ids wanted, or of all.
func imageTree(ctx context.Context, s *layers.Store, wanted []string) ([]Node, error) {
	all, err := s.ImageLayers(ctx)
	if err != nil {
		return nil, err
	}
	images, err := s.Images(ctx)
	f := forest{children: map[digest.Digest][]layers.LayerInfo{}, images: images}
	for _, l := range all {
		if wanted == nil || slices.Contains(wanted, l.CacheID) {
			f.add(l)
		}
	}
	f.grow("", nil)
	return f.nodes, err
}

// forest is a tree of layers being written down.
type forest struct {
	children map[digest.Digest][]layers.LayerInfo // by chain id; those without a parent under ""
	images   []layers.Image
	nodes    []Node
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
		node := imageNode(l)
		node.Follow, node.Names = here, imageNames(f.images, l.Images)
		f.nodes = append(f.nodes, node)
		f.grow(l.ChainID, here)
	}
}

// imageNames returns the names that people know images by.
func imageNames(images []layers.Image, ids []string) (names []string) {
	for _, image := range images {
		for _, id := range ids {
			if image.ID != id {
				continue
			}
			if len(image.RepoTags) == 0 {
				names = append(names, engine.ShortID(id))
			}
			names = append(names, image.RepoTags...)
		}
	}
	return names
}
