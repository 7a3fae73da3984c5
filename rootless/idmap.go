package rootless

import (
	"fmt"
	"math"
	"strings"
)

// Mapping says that Size ids starting at Container in the user namespace are those starting at Host outside.
type Mapping struct {
	Container, Host, Size uint32
}

// Map is the id map of a container's user namespace.
type Map struct {
	UIDs, GIDs []Mapping

	// SingleID tells that the caller's own ids are all that is mapped. The kernel then forbids setgroups(2) inside.
	SingleID bool

	// Mapped tells whether the caller's ids are in the map; CallerUID and CallerGID are then what they are inside.
	Mapped               bool
	CallerUID, CallerGID uint32

	// Programs that write the maps; empty where the caller may write them directly.
	newUIDMap, newGIDMap string
}

// Names of the ways to map ids, as given to --userns.
const (
	ModeHost   = "host"    // root is the caller, other ids are subordinate ones; "" means the same
	ModeKeepID = "keep-id" // the caller keeps its ids, other ids are subordinate ones
	ModeNoMap  = "nomap"   // all ids are subordinate ones, the caller has none
)

// PlanMap returns the map for a container of caller's, and warnings, a sentence each, where the host allows only a
// weaker one than mode asks for.
func PlanMap(mode string, caller Caller) (Map, []string, error) {
	switch mode {
	case "", ModeHost, ModeKeepID, ModeNoMap:
	default:
		return Map{}, nil, fmt.Errorf("invalid user namespace mode %q: use host, keep-id or nomap", mode)
	}
	if caller.Problem != (Problem{}) {
		if mode == ModeNoMap {
			return Map{}, nil, fmt.Errorf("user namespace mode nomap needs subordinate ids: %s", caller.Problem)
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

// setCaller notes what the caller's ids are inside.
func (m *Map) setCaller(mode string, caller Caller) {
	m.Mapped = mode != ModeNoMap
	if mode == ModeKeepID {
		m.CallerUID, m.CallerGID = caller.UID, caller.GID
	}
}

func singleMap(mode string, caller Caller) Map {
	m := Map{SingleID: true}
	m.setCaller(mode, caller)
	m.UIDs = []Mapping{{Container: m.CallerUID, Host: caller.UID, Size: 1}}
	m.GIDs = []Mapping{{Container: m.CallerGID, Host: caller.GID, Size: 1}}
	return m
}

// planIDs lays the subordinate ranges out over the container's ids, around the place of own, the caller's id.
func planIDs(mode string, own uint32, sub []Range) []Mapping {
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

// layout gives out container ids in ascending order.
type layout struct {
	maps []Mapping
	next uint32 // the first container id that is still free
	sub  []Range
}

func (l *layout) place(host, size uint32) {
	l.maps = append(l.maps, Mapping{Container: l.next, Host: host, Size: size})
	l.next += size
}

// take maps the next n container ids to subordinate ones, or as many as there are.
func (l *layout) take(n uint32) {
	for n > 0 && len(l.sub) > 0 && l.next < math.MaxUint32 {
		r := &l.sub[0]
		// The highest id, (uid_t)-1, is never mapped: it means "no id" to the kernel.
		size := min(n, r.Size, math.MaxUint32-l.next)
		l.place(r.Start, size)
		n -= size
		r.Start += size
		r.Size -= size
		if r.Size == 0 {
			l.sub = l.sub[1:]
		}
	}
}

// disjoint returns ranges without the id own and without what an earlier range already has. The kernel refuses a
// map in which an id stands twice, and /etc/subuid may list the same range by name and by number.
func disjoint(ranges []Range, own uint32) []Range {
	taken := []Range{{Start: own, Size: 1}}
	var free []Range
	for _, r := range ranges {
		pieces := []Range{r}
		for _, t := range taken {
			pieces = without(pieces, t)
		}
		free = append(free, pieces...)
		taken = append(taken, pieces...)
	}
	return free
}

// without returns the parts of ranges that lie outside cut.
func without(ranges []Range, cut Range) []Range {
	var left []Range
	for _, r := range ranges {
		end, cutEnd := r.end(), cut.end()
		if cutEnd <= uint64(r.Start) || end <= uint64(cut.Start) {
			left = append(left, r)
			continue
		}
		if r.Start < cut.Start {
			left = append(left, Range{Start: r.Start, Size: cut.Start - r.Start})
		}
		if cutEnd < end {
			left = append(left, Range{Start: uint32(cutEnd), Size: uint32(end - cutEnd)})
		}
	}
	return left
}

// HostUID returns the user id outside of the one inside; ok is false for an id that is not mapped.
func (m Map) HostUID(id uint32) (host uint32, ok bool) { return toHost(m.UIDs, id) }

// HostGID returns the group id outside of the one inside; ok is false for an id that is not mapped.
func (m Map) HostGID(id uint32) (host uint32, ok bool) { return toHost(m.GIDs, id) }

func toHost(maps []Mapping, id uint32) (uint32, bool) {
	for _, m := range maps {
		if id >= m.Container && id-m.Container < m.Size {
			return m.Host + (id - m.Container), true
		}
	}
	return 0, false
}

// format returns maps as the kernel's map files take them.
func format(maps []Mapping) string {
	var text strings.Builder
	for _, m := range maps {
		fmt.Fprintf(&text, "%d %d %d\n", m.Container, m.Host, m.Size)
	}
	return text.String()
}
