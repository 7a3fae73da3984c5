package layers

import (
	"context"
	"fmt"
)

// Usage is what the images of a store take. All sizes are those on record, of the layers' tars: nothing is walked.
type Usage struct {
	// Images are all images, the newest first.
	Images []ImageUsage
	// Layers is the size of the layers of all images in bytes, each counted once.
	Layers int64
	// Kept are layers of no image: what was pulled or loaded of an image before that was cut off. They make repeating
	// it cheaper, for a day.
	Kept []LayerInfo
	// Downloads are the sizes of blobs that were not fetched to the end, or are being fetched, in bytes by name.
	Downloads map[string]int64
}

// ImageUsage is an image and what it takes.
type ImageUsage struct {
	Image
	Shared int64 // size of the layers that other images have, too; in bytes
	Unique int64 // size of the layers that would go with the image; in bytes
}

// Usage measures the images. With an error about damaged images, the rest of it is good nevertheless.
func (s *Store) Usage(ctx context.Context) (Usage, error) {
	images, broken := s.Images(ctx)
	r, err := s.core.Records(ctx)
	if err != nil {
		return Usage{}, err
	}
	users := map[string]int{} // how many images have a layer
	for i := range images {
		for _, layer := range images[i].Layers {
			users[layer.ID]++
		}
	}
	var u Usage
	for i := range images {
		one := ImageUsage{Image: images[i]}
		for _, layer := range one.Layers {
			if users[layer.ID] > 1 {
				one.Shared += layer.Size
			} else {
				one.Unique += layer.Size
			}
		}
		u.Images = append(u.Images, one)
	}
	needed := r.Needed()
	for _, layer := range s.imageLayers(r) {
		if needed[layer.CacheID] {
			u.Layers += layer.Size
		} else {
			u.Kept = append(u.Kept, layer)
		}
	}
	if u.Downloads, err = s.core.Downloads(); err != nil {
		return u, fmt.Errorf("measure downloads: %w", err)
	}
	return u, broken
}

// Reclaimable returns how many bytes of the images' layers would go if all images but the active ones were removed.
func (u *Usage) Reclaimable(active func(ImageUsage) bool) int64 {
	needed := map[string]int64{}
	for _, img := range u.Images {
		if active(img) {
			for _, layer := range img.Layers {
				needed[layer.ID] = layer.Size
			}
		}
	}
	free := u.Layers
	for _, size := range needed {
		free -= size
	}
	return free
}
