package layers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.podman.io/storage"
)

// PruneOptions is which images to prune.
type PruneOptions struct {
	// All takes all images that no container needs; without it, only those of them that have no name.
	All bool
	// Filter limits it further.
	Filter ImageFilter
}

// Pruned is what a pruning has removed.
type Pruned struct {
	Removals []Removal
	Space    int64 // size of the layers that are gone, in bytes
}

// Prune removes images that no container needs. An image that a living process is just about to name stays.
func (s *Store) Prune(opts PruneOptions) (Pruned, error) {
	var p Pruned
	if !opts.All && opts.Filter.Dangling == nil {
		dangling := true
		opts.Filter.Dangling = &dangling
	}
	images, err := s.Images()
	if err != nil {
		return p, fmt.Errorf("prune images: %w", err)
	}
	if images, err = s.FilterImages(images, opts.Filter); err != nil {
		return p, fmt.Errorf("prune images: %w", err)
	}
	busy := s.atWork()
	var failed error
	for i := range images {
		if busy && len(images[i].Names) == 0 && s.isNew(images[i].ID) {
			continue
		}
		failed = errors.Join(failed, s.pruneImage(&images[i], &p))
	}
	return p, failed
}

// isNew tells whether an image was made within the last minute, so that its maker may not have named it yet.
func (s *Store) isNew(id string) bool {
	info, err := os.Stat(filepath.Join(s.recordDir(imageRecords), id))
	return err == nil && time.Since(info.ModTime()) < time.Minute
}

// pruneImage removes an image with all its names at once, unless a container needs it.
func (s *Store) pruneImage(img *Image, p *Pruned) error {
	removed, err := s.deleteImage(img.ID)
	if errors.Is(err, storage.ErrImageUsedByContainer) || isMissing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove image %s: %w", img.ID, err)
	}
	p.Removals = append(append(p.Removals, untagged(img.Names)...), Removal{Deleted: "sha256:" + img.ID})
	sizes := map[string]int64{}
	for _, layer := range img.Layers {
		sizes[layer.ID] = layer.Size
	}
	for _, id := range removed {
		p.Removals = append(p.Removals, Removal{Deleted: "sha256:" + id})
		p.Space += sizes[id]
	}
	return nil
}

// PruneKept removes what pulls and loads that were cut off have left, unless a living process may be about to use it.
func (s *Store) PruneKept() (Pruned, error) {
	var p Pruned
	removed, err := s.tidy(time.Now())
	for _, layer := range removed {
		p.Removals = append(p.Removals, Removal{Deleted: "sha256:" + layer.ID})
		p.Space += layer.UncompressedSize
	}
	before, _ := s.downloads()
	err = errors.Join(err, s.blobs().Clear())
	after, _ := s.downloads()
	for name, size := range before {
		if _, there := after[name]; !there {
			p.Removals = append(p.Removals, Removal{Deleted: name})
			p.Space += size
		}
	}
	return p, err
}
