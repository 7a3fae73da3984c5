package fusefs

import "github.com/rcrun/rcrun/internal/idmap"

// idView shows ids that the mount's user namespace maps as they are, and all others as one that it does map, if
// possible root. The kernel would show the others as nobody's and deny root access to them, so in a namespace of few
// ids half of an image could not be used. The owner of a file on disk stays as it is.
type idView struct {
	mapped   idmap.Ranges
	fallback uint32
	squash   *uint32 // shown instead of every id, if not nil
}

// newIDView returns the view of a namespace that maps the given ids; none given means all.
func newIDView(mapped idmap.Ranges, squash *uint32) idView {
	v := idView{mapped: mapped, squash: squash}
	if len(mapped) > 0 && !v.contains(0) {
		v.fallback = mapped[0].First
	}
	return v
}

func (v idView) contains(id uint32) bool {
	return len(v.mapped) == 0 || v.mapped.Contains(id)
}

func (v idView) show(id uint32) uint32 {
	if v.squash != nil {
		return *v.squash
	}
	if v.contains(id) {
		return id
	}
	return v.fallback
}
