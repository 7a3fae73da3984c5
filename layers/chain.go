package layers

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers/internal/core"
)

// LayerInfo is what the store knows of a layer that images consist of.
type LayerInfo struct {
	// ChainID names the layer together with all below it, on every host alike.
	ChainID digest.Digest
	// DiffID is the digest of the layer's tar.
	DiffID digest.Digest
	// CacheID is the layer's id in this store, and the name of its directory. Where the content was known beforehand
	// (pull, load), the id follows from the content: so two processes that fetch the same layer at once find each
	// other's layer.
	CacheID string
	// Parent is the chain id of the layer below, "" for the undermost.
	Parent digest.Digest
	// Size is that of the tar, in bytes.
	Size int64
	// TarSplit is the file that tells, together with the tree, every byte of the tar.
	TarSplit string
	// Created is when the layer came into this store.
	Created time.Time
	// Images are the ids of the images whose uppermost layer it is.
	Images []string
}

// ChainID returns the chain id of a layer on top of the one with the chain id parent, which is "" for none.
func ChainID(parent, diffID digest.Digest) digest.Digest {
	if parent == "" {
		return diffID
	}
	return digest.FromString(parent.String() + " " + diffID.String())
}

// ImageLayers lists the layers of images, and the layers that transfers have left which were cut off. Each layer comes
// after the one below it.
func (s *Store) ImageLayers(ctx context.Context) ([]LayerInfo, error) {
	r, err := s.core.Records(ctx)
	if err != nil {
		return nil, err
	}
	return s.imageLayers(r), nil
}

func (s *Store) imageLayers(r *core.Records) []LayerInfo {
	c := chains{store: s, known: r.Layers, done: map[string]*LayerInfo{}}
	for _, id := range slices.Sorted(maps.Keys(r.Layers)) {
		if r.Layers[id].UncompressedDigest != "" {
			c.add(id)
		}
	}
	for _, img := range r.Images {
		if info := c.done[img.TopLayer]; info != nil {
			info.Images = append(info.Images, img.ID)
		}
	}
	list := make([]LayerInfo, len(c.order))
	for i, id := range c.order {
		list[i] = *c.done[id]
	}
	return list
}

// chains describes layers, those below before those above.
type chains struct {
	store *Store
	known map[string]storage.Layer
	done  map[string]*LayerInfo // nil for a layer that cannot be described
	order []string              // the keys of done, the lower ones first
}

// add describes a layer after the layers below it. A layer that has a layer missing below it has no chain id and is
// left out.
func (c *chains) add(id string) {
	var path []string // from the layer downwards
	for next := id; next != ""; next = c.known[next].Parent {
		if _, seen := c.done[next]; seen {
			break
		}
		c.done[next] = nil // also ends a chain that leads back to itself
		path = append(path, next)
	}
	for _, next := range slices.Backward(path) {
		layer, there := c.known[next]
		parent := c.done[layer.Parent]
		if !there || layer.Parent != "" && parent == nil {
			continue
		}
		c.done[next] = c.store.layerInfo(layer, parent)
		c.order = append(c.order, next)
	}
}

func (s *Store) layerInfo(layer storage.Layer, parent *LayerInfo) *LayerInfo {
	info := &LayerInfo{
		DiffID: layer.UncompressedDigest, CacheID: layer.ID, Size: layer.UncompressedSize, Created: layer.Created,
		TarSplit: s.core.TarSplit(layer.ID),
	}
	if parent != nil {
		info.Parent = parent.ChainID
	}
	info.ChainID = ChainID(info.Parent, info.DiffID)
	return info
}

// ImageLayer returns the layer with a chain id, diff id or cache id, which may be abbreviated.
func (s *Store) ImageLayer(ctx context.Context, ref string) (*LayerInfo, error) {
	all, err := s.ImageLayers(ctx)
	if err != nil {
		return nil, err
	}
	prefix := strings.TrimPrefix(ref, "sha256:")
	if prefix == "" {
		return nil, noLayer(ref)
	}
	var found []LayerInfo
	for _, key := range []func(LayerInfo) string{
		func(l LayerInfo) string { return l.ChainID.Encoded() },
		func(l LayerInfo) string { return l.CacheID },
		func(l LayerInfo) string { return l.DiffID.Encoded() },
	} {
		if found = slices.DeleteFunc(slices.Clone(all),
			func(l LayerInfo) bool { return !strings.HasPrefix(key(l), prefix) }); len(found) > 0 {
			break
		}
	}
	if len(found) == 0 {
		return nil, noLayer(ref)
	}
	var candidates []string
	for _, l := range found {
		candidates = append(candidates, l.ChainID.String())
	}
	// Two imports of one tar make two layers that do not differ.
	if candidates = slices.Compact(slices.Sorted(slices.Values(candidates))); len(candidates) > 1 {
		return nil, ambiguous("layer", ref, candidates)
	}
	return &found[0], nil
}

func noLayer(ref string) error {
	return fault.Errorf(errdefs.ErrNotFound, "no layer %q in the store", ref)
}
