package rootless

import (
	"math"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/idmap"
)

// Map is the id map of a container's user namespace.
type Map struct {
	UIDs, GIDs idmap.Map

	// SingleID tells that only the caller's own ids are mapped. The kernel then forbids setgroups(2) inside.
	SingleID bool

	// Mapped tells whether the caller's ids are in the map. If so, CallerUID and CallerGID are these ids inside.
	Mapped               bool
	CallerUID, CallerGID uint32

	// Programs that write the maps; empty where the caller may write them directly.
	newUIDMap, newGIDMap string
}

// The ways to map ids by their names in a container's configuration.
const (
	ModeHost   = "host"    // root is the caller, other ids are subordinate; "" means the same
	ModeKeepID = "keep-id" // the caller keeps its ids, other ids are subordinate
	ModeNoMap  = "nomap"   // all ids are subordinate, and the caller has none
)

// PlanMap returns the id map for a container of the caller. Where the host allows only a weaker map than mode asks for,
// it also returns warnings, a sentence each.
func PlanMap(mode string, caller Caller) (Map, []string, error) {
	switch mode {
	case "", ModeHost, ModeKeepID, ModeNoMap:
	default:
		return Map{}, nil, fault.Errorf(errdefs.ErrInvalidArgument,
			"invalid user namespace mode %q: use host, keep-id or nomap", mode)
	}
	if caller.Problem != (Problem{}) {
		if mode == ModeNoMap {
			return Map{}, nil, fault.Errorf(errdefs.ErrUnavailable,
				"user namespace mode nomap needs subordinate ids: %s", caller.Problem)
		}
		warning := "only one user id is available in the container, because " + caller.Problem.String()
		return singleMap(mode, caller), []string{warning}, nil
	}
	m := Map{
		UIDs:      planIDs(mode, caller.UID, caller.SubUIDs),
		GIDs:      planIDs(mode, caller.GID, caller.SubGIDs),
		newUIDMap: caller.NewUIDMap,
		newGIDMap: caller.NewGIDMap,
	}
	m.setCaller(mode, caller)
	return m, nil, nil
}

// setCaller sets what the caller's ids are inside.
func (m *Map) setCaller(mode string, caller Caller) {
	m.Mapped = mode != ModeNoMap
	if mode == ModeKeepID {
		m.CallerUID, m.CallerGID = caller.UID, caller.GID
	}
}

func singleMap(mode string, caller Caller) Map {
	m := Map{SingleID: true}
	m.setCaller(mode, caller)
	m.UIDs = idmap.Map{{Container: m.CallerUID, Host: caller.UID, Size: 1}}
	m.GIDs = idmap.Map{{Container: m.CallerGID, Host: caller.GID, Size: 1}}
	return m
}

// planIDs lays the subordinate ranges out over the container's ids, around own, the caller's id.
func planIDs(mode string, own uint32, sub idmap.Ranges) idmap.Map {
	plan := layout{sub: disjoint(sub, own)}
	switch mode {
	case ModeNoMap:
		plan.take(math.MaxUint32)
	case ModeKeepID:
		plan.take(own)
		plan.next = own
		plan.place(own, 1)
		plan.take(math.MaxUint32)
	default:
		plan.place(own, 1)
		plan.take(math.MaxUint32)
	}
	return plan.maps
}

// layout assigns container ids in ascending order.
type layout struct {
	maps idmap.Map
	next uint32 // the first container id that is still free
	sub  idmap.Ranges
}

func (l *layout) place(host, size uint32) {
	l.maps = append(l.maps, idmap.Mapping{Container: l.next, Host: host, Size: size})
	l.next += size
}

// take maps the next n container ids to subordinate ids, or fewer if there are not as many.
func (l *layout) take(n uint32) {
	for n > 0 && len(l.sub) > 0 && l.next < math.MaxUint32 {
		r := &l.sub[0]
		// The highest id, (uid_t)-1, is never mapped: it means "no id" to the kernel.
		size := min(n, r.Size, math.MaxUint32-l.next)
		l.place(r.First, size)
		n -= size
		r.First += size
		r.Size -= size
		if r.Size == 0 {
			l.sub = l.sub[1:]
		}
	}
}

// disjoint returns ranges without the id own and without ids that an earlier range has. The kernel refuses a map with
// an id that occurs twice, and /etc/subuid may list the same range by name and by number.
func disjoint(ranges idmap.Ranges, own uint32) idmap.Ranges {
	taken := idmap.Ranges{{First: own, Size: 1}}
	var free idmap.Ranges
	for _, r := range ranges {
		pieces := idmap.Ranges{r}
		for _, t := range taken {
			pieces = without(pieces, t)
		}
		free = append(free, pieces...)
		taken = append(taken, pieces...)
	}
	return free
}

// without returns the parts of ranges that lie outside cut.
func without(ranges idmap.Ranges, cut idmap.Range) idmap.Ranges {
	var left idmap.Ranges
	for _, r := range ranges {
		end, cutEnd := r.End(), cut.End()
		if cutEnd <= uint64(r.First) || end <= uint64(cut.First) {
			left = append(left, r)
			continue
		}
		if r.First < cut.First {
			left = append(left, idmap.Range{First: r.First, Size: cut.First - r.First})
		}
		if cutEnd < end {
			left = append(left, idmap.Range{First: uint32(cutEnd), Size: uint32(end - cutEnd)})
		}
	}
	return left
}
