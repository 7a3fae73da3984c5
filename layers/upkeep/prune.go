package upkeep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/core"
)

// PruneOptions is which images to prune.
type PruneOptions struct {
	// All takes all images that no container needs. Without it only those are taken that have no name.
	All bool
	// Filter limits it further.
	Filter layers.ImageFilter
}

// Pruned is what was removed.
type Pruned struct {
	Removals []layers.Removal
	Space    int64 // size of the layers that are gone, in bytes
}

// Prune removes images that no container needs. An image that a living process is about to name stays.
func Prune(ctx context.Context, s *layers.Store, opts PruneOptions) (Pruned, error) {
	var p Pruned
	if !opts.All && opts.Filter.Dangling == nil {
		dangling := true
		opts.Filter.Dangling = &dangling
	}
	images, err := s.Images(ctx)
	if err != nil {
		return p, fmt.Errorf("prune images: %w", err)
	}
	if images, err = s.FilterImages(ctx, images, opts.Filter); err != nil {
		return p, fmt.Errorf("prune images: %w", err)
	}
	busy := s.Core().AtWork()
	var failed error
	for i := range images {
		if ctx.Err() != nil {
			return p, errors.Join(failed, context.Cause(ctx))
		}
		if busy && len(images[i].Names) == 0 && isNew(s, images[i].ID) {
			continue
		}
		failed = errors.Join(failed, pruneImage(ctx, s, &images[i], &p))
	}
	return p, failed
}

// isNew tells whether an image was made within the last minute: its maker may not have named it yet.
func isNew(s *layers.Store, id string) bool {
	info, err := os.Stat(filepath.Join(s.Core().RecordDir(core.ImageRecords), id))
	return err == nil && time.Since(info.ModTime()) < time.Minute
}

// pruneImage removes an image with all its names at once, unless a container needs it.
func pruneImage(ctx context.Context, s *layers.Store, img *layers.Image, p *Pruned) error {
	removed, err := s.Core().DeleteImage(ctx, img.ID)
	if errors.Is(err, storage.ErrImageUsedByContainer) || core.IsMissing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove image %s: %w", img.ID, err)
	}
	p.Removals = append(p.Removals, layers.Untagged(img.ID, img.Names)...)
	p.Removals = append(p.Removals, layers.Removal{Image: img.ID, Deleted: "sha256:" + img.ID})
	sizes := map[string]int64{}
	for _, layer := range img.Layers {
		sizes[layer.ID] = layer.Size
	}
	for _, id := range removed {
		p.Removals = append(p.Removals, layers.Removal{Image: img.ID, Deleted: "sha256:" + id})
		p.Space += sizes[id]
	}
	return nil
}

// PruneKept removes what pulls and loads have left that were cut off, unless a living process may be about to use it.
func PruneKept(ctx context.Context, s *layers.Store) (Pruned, error) {
	var p Pruned
	removed, err := s.Core().Tidy(ctx, time.Now())
	for _, layer := range removed {
		p.Removals = append(p.Removals, layers.Removal{Deleted: "sha256:" + layer.ID})
		p.Space += layer.UncompressedSize
	}
	before, _ := s.Core().Downloads()
	err = errors.Join(err, s.Core().Blobs().Clear())
	after, _ := s.Core().Downloads()
	for name, size := range before {
		if _, there := after[name]; !there {
			p.Removals = append(p.Removals, layers.Removal{Deleted: name})
			p.Space += size
		}
	}
	return p, err
}
