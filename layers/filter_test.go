package layers

import (
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestFilterImages(t *testing.T) {
	s := openStore(t)
	first := mustImport(t, s, "debian:11", "1", "LABEL stage=old team=a")
	second := mustImport(t, s, "debian:12", "2", "LABEL stage=new")
	third := mustImport(t, s, "registry.example/team/app:v1", "3")
	unnamed := mustImport(t, s, "", "4")
	if err := s.lib.AddNames(third.ID, []string{"docker.io/library/app:latest"}); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	for name, c := range map[string]struct {
		filter ImageFilter
		want   []*Image
	}{
		"nothing":           {ImageFilter{}, []*Image{first, second, third, unnamed}},
		"dangling":          {ImageFilter{Dangling: &yes}, []*Image{unnamed}},
		"not dangling":      {ImageFilter{Dangling: &no}, []*Image{first, second, third}},
		"label":             {ImageFilter{Labels: []string{"stage"}}, []*Image{first, second}},
		"label with value":  {ImageFilter{Labels: []string{"stage=new"}}, []*Image{second}},
		"both labels":       {ImageFilter{Labels: []string{"stage", "team=a"}}, []*Image{first}},
		"label that is not": {ImageFilter{NotLabels: []string{"stage=old"}}, []*Image{second, third, unnamed}},
		"before":            {ImageFilter{Before: "debian:12"}, []*Image{first}},
		"since":             {ImageFilter{Since: second.ID[:12]}, []*Image{third, unnamed}},
		"since and before":  {ImageFilter{Since: "debian:11", Before: "app"}, []*Image{second}},
		"until":             {ImageFilter{Until: third.Created}, []*Image{first, second}},
		"until now":         {ImageFilter{Until: time.Now().Add(time.Hour)}, []*Image{first, second, third, unnamed}},
		"reference":         {ImageFilter{References: []string{"debian"}}, []*Image{first, second}},
		"reference with *":  {ImageFilter{References: []string{"deb*:12"}}, []*Image{second}},
		"several":           {ImageFilter{References: []string{"debian:11", "*/team/*"}}, []*Image{first, third}},
		"none":              {ImageFilter{References: []string{"deb"}}, nil},
	} {
		images, err := s.Images()
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(images) // the oldest first
		got, err := s.FilterImages(images, c.filter)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.EqualFunc(got, c.want, func(a Image, b *Image) bool { return a.ID == b.ID }) {
			t.Errorf("%s: %d images, want %d: %+v", name, len(got), len(c.want), got)
		}
	}
}

func TestFilterKeepsNamesThatFit(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "debian:12", "x")
	if err := s.lib.AddNames(img.ID, []string{"docker.io/library/base:1"}); err != nil {
		t.Fatal(err)
	}
	images, err := s.Images()
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.FilterImages(images, ImageFilter{References: []string{"base"}})
	if err != nil || len(got) != 1 || !slices.Equal(got[0].RepoTags, []string{"base:1"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFilterErrors(t *testing.T) {
	s := openStore(t)
	images := []Image{*mustImport(t, s, "x", "x")}
	if _, err := s.FilterImages(images, ImageFilter{Before: "missing"}); !errdefs.IsNotFound(err) {
		t.Errorf("before an image that is not there: %v", err)
	}
	if _, err := s.FilterImages(images, ImageFilter{References: []string{"[x"}}); err == nil {
		t.Error("a malformed pattern is accepted")
	}
}
