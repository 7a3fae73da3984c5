package layers

import (
	"context"
	"fmt"
)

// Usage is the space that the images of a store take. All sizes are those of the layers' tars on record; no file is
// read.
type Usage struct {
	// Images are all images, the newest first.
	Images []ImageUsage
	// Layers is the size of the layers of all images in bytes, each counted once.
	Layers int64
	// Kept are layers of no image: a pull or load was cut off after it had brought them in. They make its repetition
	// cheaper, and stay for a day.
	Kept []LayerInfo
	// Downloads are the sizes in bytes, by name, of blobs that a process is fetching or has not fetched to the end.
	Downloads map[string]int64
}

// ImageUsage is an image and the space that it takes.
type ImageUsage struct {
	Image
	Shared int64 // size in bytes of the layers that other images have, too
	Unique int64 // size in bytes of the layers that only this image has
}

// Usage measures the images. If the error is about damaged images, the rest of the result is right nevertheless.
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

// Reclaimable returns how many bytes of layers would become free if all images but the active ones were removed.
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
