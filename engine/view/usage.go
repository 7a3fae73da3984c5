package view

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
)

// The types of the records of the build cache: what a pull or load that was cut off has left to make its repetition
// cheaper.
const (
	KeptLayer    = "layer"
	KeptDownload = "download"
)

// diskUse is what images and containers take.
type diskUse struct {
	layers.Usage
	containers []*engine.Container
}

// DiskUsage measures what images and containers take on disk. Damaged ones are told of in broken.
func DiskUsage(ctx context.Context, e *layered.Engine) (usage system.DiskUsage, broken []error, err error) {
	use, broken, err := measure(ctx, e)
	if err != nil {
		return usage, broken, err
	}
	now := time.Now()
	list := make([]Container, len(use.containers))
	for i, c := range use.containers {
		list[i] = summary(c, now)
	}
	unmeasured, err := addSizes(ctx, e, list)
	return system.DiskUsage{ImageUsage: use.images(), ContainerUsage: containerUsage(list),
		VolumeUsage: &volume.DiskUsage{}, BuildCacheUsage: use.cache()}, append(broken, unmeasured...), err
}

// measure finds out what the images take, and which containers there are.
func measure(ctx context.Context, e *layered.Engine) (use *diskUse, broken []error, err error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, nil, err
	}
	use = &diskUse{}
	var failed error
	if use.Usage, failed = store.Usage(ctx); failed != nil {
		broken = append(broken, failed)
	}
	list, damaged, err := e.Containers.List(ctx)
	use.containers = list
	if err == nil {
		err = ctx.Err()
	}
	return use, append(broken, damaged...), err
}

// users returns how many containers an image has.
func (u *diskUse) users(imageID string) (n int64) {
	for _, c := range u.containers {
		if c.ImageID == imageID {
			n++
		}
	}
	return n
}

func (u *diskUse) images() *image.DiskUsage {
	inUse := func(img layers.ImageUsage) bool { return u.users(img.ID) > 0 }
	sum := &image.DiskUsage{TotalCount: int64(len(u.Images)), TotalSize: u.Layers, Reclaimable: u.Reclaimable(inUse)}
	for i := range u.Images {
		if inUse(u.Images[i]) {
			sum.ActiveCount++
		}
		one := imageSummary(&u.Images[i].Image)
		u.complete(&one)
		sum.Items = append(sum.Items, one.Summary)
	}
	return sum
}

func containerUsage(list []Container) *container.DiskUsage {
	sum := &container.DiskUsage{TotalCount: int64(len(list))}
	for i := range list {
		sum.Items = append(sum.Items, list[i].Summary)
		sum.TotalSize += list[i].SizeRw
		if engine.Status(list[i].State).Up() {
			sum.ActiveCount++
		} else {
			sum.Reclaimable += list[i].SizeRw
		}
	}
	return sum
}

func (u *diskUse) cache() *build.DiskUsage {
	sum := &build.DiskUsage{}
	for _, l := range u.Kept {
		sum.Items = append(sum.Items, build.CacheRecord{ID: l.ChainID.String(), Type: KeptLayer, Size: l.Size,
			CreatedAt: l.Created})
	}
	for _, name := range slices.Sorted(maps.Keys(u.Downloads)) {
		sum.Items = append(sum.Items, build.CacheRecord{ID: name, Type: KeptDownload, Size: u.Downloads[name]})
	}
	sum.TotalCount = int64(len(sum.Items))
	for _, record := range sum.Items {
		sum.TotalSize += record.Size
	}
	sum.Reclaimable = sum.TotalSize
	return sum
}
