package fusefs

import "testing"

func TestIDView(t *testing.T) {
	for name, c := range map[string]struct {
		mapped []IDRange
		shown  map[uint32]uint32
	}{
		"everything":         {nil, map[uint32]uint32{0: 0, 7: 7, 4294967294: 4294967294}},
		"root only":          {[]IDRange{{0, 1}}, map[uint32]uint32{0: 0, 1: 0, 1000: 0}},
		"the caller only":    {[]IDRange{{1000, 1}}, map[uint32]uint32{0: 1000, 1000: 1000, 1001: 1000}},
		"root and a range":   {[]IDRange{{0, 1}, {1, 65536}}, map[uint32]uint32{65536: 65536, 65537: 0, 42: 42}},
		"a range to the end": {[]IDRange{{4294967290, 5}, {0, 2}}, map[uint32]uint32{4294967294: 4294967294, 4294967295: 0, 2: 0}},
	} {
		view := newIDView(c.mapped, nil)
		for id, want := range c.shown {
			if got := view.show(id); got != want {
				t.Errorf("%s: %d is shown as %d, want %d", name, id, got, want)
			}
		}
	}
}
