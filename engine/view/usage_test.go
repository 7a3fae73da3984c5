package view

import (
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/layers"
)

func testUse() *diskUse {
	base, own := layers.Layer{ID: "base", Size: 100}, layers.Layer{ID: "own", Size: 7}
	return &diskUse{
		Usage: layers.Usage{Layers: 107, Images: []layers.ImageUsage{
			{Image: layers.Image{ID: "aa", Size: 107, Layers: []layers.Layer{base, own}}, Shared: 100, Unique: 7},
			{Image: layers.Image{ID: "bb", Size: 100, Layers: []layers.Layer{base}}, Shared: 100},
		}, Kept: []layers.LayerInfo{{ChainID: "sha256:cc", Size: 5, Created: time.Unix(9, 0)}},
			Downloads: map[string]int64{"y": 2, "x": 1}},
		containers: []*engine.Container{{ID: "1", ImageID: "bb"}, {ID: "2", ImageID: "bb"}, {ID: "3"}},
	}
}

func TestImageUsage(t *testing.T) {
	sum := testUse().images()
	if sum.TotalCount != 2 || sum.ActiveCount != 1 || sum.TotalSize != 107 || sum.Reclaimable != 7 {
		t.Errorf("got %+v", sum)
	}
	if one := sum.Items[1]; one.Containers != 2 || one.SharedSize != 100 || one.ID != "sha256:bb" {
		t.Errorf("got %+v", one)
	}
}

func TestContainerUsage(t *testing.T) {
	one := func(state container.ContainerState, size int64) Container {
		return Container{Summary: container.Summary{State: state, SizeRw: size}}
	}
	sum := containerUsage([]Container{one("running", 3), one("exited", 4), one("created", 5)})
	if sum.TotalCount != 3 || sum.ActiveCount != 1 || sum.TotalSize != 12 || sum.Reclaimable != 9 {
		t.Errorf("got %+v", sum)
	}
}

func TestCacheUsage(t *testing.T) {
	sum := testUse().cache()
	if sum.TotalCount != 3 || sum.TotalSize != 8 || sum.Reclaimable != 8 || sum.ActiveCount != 0 {
		t.Errorf("got %+v", sum)
	}
	if sum.Items[0].Type != KeptLayer || sum.Items[1].ID != "x" || sum.Items[2].Type != KeptDownload {
		t.Errorf("got %+v", sum.Items)
	}
}

// TestNotMeasured has what takes long to find out marked where nobody asked.
func TestNotMeasured(t *testing.T) {
	one := imageSummary(&layers.Image{ID: "aa", Size: 107})
	if one.SharedSize != -1 || one.UniqueSize != -1 || one.Containers != -1 || one.RepoTags == nil {
		t.Errorf("got %+v", one)
	}
	testUse().complete(&one)
	if one.SharedSize != 100 || one.UniqueSize != 7 || one.Containers != 0 {
		t.Errorf("got %+v", one)
	}
}
