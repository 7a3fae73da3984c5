package layered

import (
	"testing"
	"time"

	"github.com/rcrun/rcrun/engine"
)

func TestPruneFilterTakes(t *testing.T) {
	made := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	c := &engine.Container{Created: made, Config: engine.Config{Labels: map[string]string{"k": "v"}}}
	for _, test := range []struct {
		filter PruneFilter
		want   bool
	}{
		{PruneFilter{}, true},
		{PruneFilter{Until: made}, false},
		{PruneFilter{Until: made.Add(time.Second)}, true},
		{PruneFilter{Labels: []string{"k"}}, true},
		{PruneFilter{Labels: []string{"k=v"}}, true},
		{PruneFilter{Labels: []string{"k", "other"}}, false},
		{PruneFilter{NotLabels: []string{"k=w"}}, true},
		{PruneFilter{NotLabels: []string{"k"}}, false},
	} {
		if got := test.filter.takes(c); got != test.want {
			t.Errorf("%+v: %v", test.filter, got)
		}
	}
}
