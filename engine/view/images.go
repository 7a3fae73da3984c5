package view

import (
	"context"
	"slices"

	"github.com/moby/moby/api/types/image"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
)

// Image is an image in a list.
type Image struct {
	image.Summary
	// UniqueSize is the size of the layers that would go with the image, in bytes; -1 where it was not measured.
	UniqueSize int64
}

// ImageListOptions says which images to list, and how.
type ImageListOptions struct {
	Filter layers.ImageFilter
	// Measure finds out SharedSize, UniqueSize and Containers, which are -1 otherwise.
	Measure bool
}

// Images lists images, the newest first. Images that are damaged are listed as far as is known; broken tells of them.
func Images(ctx context.Context, e *layered.Engine, options ImageListOptions) (list []Image, broken []error,
	err error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, damaged := store.Images(ctx)
	if damaged != nil {
		broken = append(broken, damaged)
	}
	if all, err = store.FilterImages(ctx, all, options.Filter); err != nil {
		return nil, broken, err
	}
	for i := range all {
		list = append(list, imageSummary(&all[i]))
	}
	if !options.Measure {
		return list, broken, ctx.Err()
	}
	use, _, err := measure(ctx, e) // the damaged images are in broken
	if err != nil {
		return nil, broken, err
	}
	for i := range list {
		use.complete(&list[i])
	}
	return list, broken, nil
}

// imageSummary describes an image without what has to be measured.
func imageSummary(img *layers.Image) Image {
	return Image{UniqueSize: notMeasured, Summary: image.Summary{
		ID: imageRef(img.ID), Created: img.Created.Unix(), Labels: img.Config.Config.Labels, Size: img.Size,
		RepoTags: orEmpty(img.RepoTags), RepoDigests: orEmpty(img.RepoDigests),
		SharedSize: notMeasured, Containers: notMeasured,
	}}
}

// complete fills in what was measured of an image.
func (u *diskUse) complete(one *Image) {
	i := slices.IndexFunc(u.Images, func(img layers.ImageUsage) bool { return imageRef(img.ID) == one.ID })
	if i >= 0 {
		one.SharedSize, one.UniqueSize, one.Containers = u.Images[i].Shared, u.Images[i].Unique, u.users(u.Images[i].ID)
	}
}

// orEmpty has a list without members shown as such, and not as null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
