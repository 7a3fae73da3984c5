package layers_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

func TestFilterImages(t *testing.T) {
	s := storetest.OpenStore(t)
	first := storetest.MustImport(t, s, "debian:11", "1", "LABEL stage=old team=a")
	second := storetest.MustImport(t, s, "debian:12", "2", "LABEL stage=new")
	third := storetest.MustImport(t, s, "registry.example/team/app:v1", "3")
	unnamed := storetest.MustImport(t, s, "", "4")
	if err := s.Core().Lib.AddNames(third.ID, []string{"docker.io/library/app:latest"}); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	for name, c := range map[string]struct {
		filter layers.ImageFilter
		want   []*layers.Image
	}{
		"nothing":          {layers.ImageFilter{}, []*layers.Image{first, second, third, unnamed}},
		"dangling":         {layers.ImageFilter{Dangling: &yes}, []*layers.Image{unnamed}},
		"not dangling":     {layers.ImageFilter{Dangling: &no}, []*layers.Image{first, second, third}},
		"label":            {layers.ImageFilter{Labels: []string{"stage"}}, []*layers.Image{first, second}},
		"label with value": {layers.ImageFilter{Labels: []string{"stage=new"}}, []*layers.Image{second}},
		"both labels":      {layers.ImageFilter{Labels: []string{"stage", "team=a"}}, []*layers.Image{first}},
		"label that is not": {layers.ImageFilter{NotLabels: []string{"stage=old"}},
			[]*layers.Image{second, third, unnamed}},
		"before":           {layers.ImageFilter{Before: "debian:12"}, []*layers.Image{first}},
		"since":            {layers.ImageFilter{Since: second.ID[:12]}, []*layers.Image{third, unnamed}},
		"since and before": {layers.ImageFilter{Since: "debian:11", Before: "app"}, []*layers.Image{second}},
		"until":            {layers.ImageFilter{Until: third.Created}, []*layers.Image{first, second}},
		"until now": {layers.ImageFilter{Until: time.Now().Add(time.Hour)},
			[]*layers.Image{first, second, third, unnamed}},
		"reference":        {layers.ImageFilter{References: []string{"debian"}}, []*layers.Image{first, second}},
		"reference with *": {layers.ImageFilter{References: []string{"deb*:12"}}, []*layers.Image{second}},
		"several": {layers.ImageFilter{References: []string{"debian:11", "*/team/*"}},
			[]*layers.Image{first, third}},
		"none": {layers.ImageFilter{References: []string{"deb"}}, nil},
	} {
		images, err := s.Images(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(images) // the oldest first
		got, err := s.FilterImages(context.Background(), images, c.filter)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.EqualFunc(got, c.want, func(a layers.Image, b *layers.Image) bool { return a.ID == b.ID }) {
			t.Errorf("%s: %d images, want %d: %+v", name, len(got), len(c.want), got)
		}
	}
}

func TestFilterKeepsNamesThatFit(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "debian:12", "x")
	if err := s.Core().Lib.AddNames(img.ID, []string{"docker.io/library/base:1"}); err != nil {
		t.Fatal(err)
	}
	images, err := s.Images(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.FilterImages(context.Background(), images, layers.ImageFilter{References: []string{"base"}})
	if err != nil || len(got) != 1 || !slices.Equal(got[0].RepoTags, []string{"base:1"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFilterErrors(t *testing.T) {
	s := storetest.OpenStore(t)
	images := []layers.Image{*storetest.MustImport(t, s, "x", "x")}
	if _, err := s.FilterImages(context.Background(), images,
		layers.ImageFilter{Before: "missing"}); !errdefs.IsNotFound(err) {
		t.Errorf("before an image that is not there: %v", err)
	}
	if _, err := s.FilterImages(context.Background(), images,
		layers.ImageFilter{References: []string{"[x"}}); err == nil {
		t.Error("a malformed pattern is accepted")
	}
}
