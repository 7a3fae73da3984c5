package view

import (
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
)

func TestAddImageFilter(t *testing.T) {
	var f layers.ImageFilter
	for _, pair := range []string{"dangling=true", "dangling=false", "label=a", "label=b=c", "label!=d", "before=x",
		"after=y", "reference=debian:*", "until=2026-01-31"} {
		key, value, _ := strings.Cut(strings.Replace(pair, "!=", "!==", 1), "=")
		if key == "label!" {
			value = strings.TrimPrefix(value, "=")
		}
		if err := AddImageFilter(&f, key, value); err != nil {
			t.Errorf("%s: %v", pair, err)
		}
	}
	if *f.Dangling || len(f.Labels) != 2 || f.Labels[1] != "b=c" || f.NotLabels[0] != "d" || f.Before != "x" ||
		f.Since != "y" || f.References[0] != "debian:*" ||
		!f.Until.Equal(time.Date(2026, 1, 31, 0, 0, 0, 0, time.Local)) {
		t.Errorf("got %+v", f)
	}
	for key, value := range map[string]string{"dangling": "odd", "until": "odd", "odd": "x"} {
		if err := AddImageFilter(&f, key, value); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
}

func TestAddPruneFilter(t *testing.T) {
	var f layered.PruneFilter
	for _, err := range []error{AddPruneFilter(&f, "label", "a"), AddPruneFilter(&f, "label!", "b"),
		AddPruneFilter(&f, "until", "1h"), AddPruneFilter(&f, "dangling", "false")} {
		if err != nil {
			t.Error(err)
		}
	}
	if f.Labels[0] != "a" || f.NotLabels[0] != "b" || f.Until.IsZero() || *f.Dangling {
		t.Errorf("got %+v", f)
	}
	if err := AddPruneFilter(&f, "before", "x"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("before: %v", err)
	}
}
