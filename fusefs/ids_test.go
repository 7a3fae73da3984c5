package fusefs

import (
	"testing"

	"github.com/rcrun/rcrun/internal/idmap"
)

func TestIDView(t *testing.T) {
	for name, c := range map[string]struct {
		mapped idmap.Ranges
		shown  map[uint32]uint32
	}{
		"everything": {nil, map[uint32]uint32{0: 0, 7: 7, 4294967294: 4294967294}},
		"root only":  {idmap.Ranges{{First: 0, Size: 1}}, map[uint32]uint32{0: 0, 1: 0, 1000: 0}},
		"the caller only": {idmap.Ranges{{First: 1000, Size: 1}},
			map[uint32]uint32{0: 1000, 1000: 1000, 1001: 1000}},
		"root and a range": {idmap.Ranges{{First: 0, Size: 1}, {First: 1, Size: 65536}},
			map[uint32]uint32{65536: 65536, 65537: 0, 42: 42}},
		"a range to the end": {idmap.Ranges{{First: 4294967290, Size: 5}, {First: 0, Size: 2}},
			map[uint32]uint32{4294967294: 4294967294, 4294967295: 0, 2: 0}},
	} {
		view := newIDView(c.mapped, nil)
		for id, want := range c.shown {
			if got := view.show(id); got != want {
				t.Errorf("%s: %d is shown as %d, want %d", name, id, got, want)
			}
		}
	}
}
