// Package idmap has the maps of user namespaces: which ids of a container stand for which ids outside of it.
//
// The maps of the processes of this program, of the layers of a union and of the files of /proc are all of these types,
// and the files are parsed here alone. The types are small and import nothing, because every part of the program has
// them. The text of a map is that of the kernel's files uid_map and gid_map (user_namespaces(7)).
package idmap

import (
	"fmt"
	"os"
	"strings"
)

// All is the number of ids that there are. The highest number, (uid_t)-1, means "no id" to the kernel.
const All = 1<<32 - 1

// Range is Size consecutive ids.
type Range struct {
	First, Size uint32
}

// End returns the first id after the range.
func (r Range) End() uint64 { return uint64(r.First) + uint64(r.Size) }

// Contains tells whether the range has an id.
func (r Range) Contains(id uint32) bool { return id >= r.First && id-r.First < r.Size }

// Ranges is a set of ids.
type Ranges []Range

// Contains tells whether one of the ranges has an id.
func (rs Ranges) Contains(id uint32) bool {
	for _, r := range rs {
		if r.Contains(id) {
			return true
		}
	}
	return false
}

// Total returns the number of ids in all ranges.
func (rs Ranges) Total() uint64 {
	total := uint64(0)
	for _, r := range rs {
		total += uint64(r.Size)
	}
	return total
}

// Mapping says that Size ids, from Container on inside, are those from Host on outside.
type Mapping struct {
	Container uint32 `json:"container"`
	Host      uint32 `json:"host"`
	Size      uint32 `json:"size"`
}

// Map is the map of a user namespace for users or for groups.
type Map []Mapping

// Identity returns the map that maps each id of the ranges to itself.
func Identity(ranges Ranges) Map {
	var m Map
	for _, r := range ranges {
		m = append(m, Mapping{Container: r.First, Host: r.First, Size: r.Size})
	}
	return m
}

// Everything returns the map that maps every id to itself, which is that of the host.
func Everything() Map { return Identity(Ranges{{Size: All}}) }

// IsEverything tells whether every id means itself, as in the first user namespace.
func (m Map) IsEverything() bool { return len(m) == 1 && m[0] == Mapping{Size: All} }

// ToHost returns the id outside of one inside; ok is false for an id that is not mapped.
func (m Map) ToHost(container uint32) (host uint32, ok bool) {
	for _, part := range m {
		if (Range{part.Container, part.Size}).Contains(container) {
			return part.Host + (container - part.Container), true
		}
	}
	return 0, false
}

// ToContainer returns the id inside of one outside; ok is false for an id that is not mapped.
func (m Map) ToContainer(host uint32) (container uint32, ok bool) {
	for _, part := range m {
		if (Range{part.Host, part.Size}).Contains(host) {
			return part.Container + (host - part.Host), true
		}
	}
	return 0, false
}

// Inside returns the ids that the namespace has.
func (m Map) Inside() Ranges {
	var ranges Ranges
	for _, part := range m {
		ranges = append(ranges, Range{First: part.Container, Size: part.Size})
	}
	return ranges
}

// String returns the text that the kernel takes for the map, a line for each part.
func (m Map) String() string {
	var text strings.Builder
	for _, part := range m {
		fmt.Fprintf(&text, "%d %d %d\n", part.Container, part.Host, part.Size)
	}
	return text.String()
}

// Parse reads a map as the kernel shows it.
func Parse(text string) (Map, error) {
	var m Map
	for line := range strings.Lines(text) {
		var part Mapping
		if _, err := fmt.Sscan(line, &part.Container, &part.Host, &part.Size); err != nil {
			return nil, fmt.Errorf("parse id map %q: %w", strings.TrimSpace(line), err)
		}
		m = append(m, part)
	}
	return m, nil
}

// OwnUIDs returns the users of the calling process's user namespace.
func OwnUIDs() (Map, error) { return read("/proc/self/uid_map") }

// OwnGIDs returns the groups of the calling process's user namespace.
func OwnGIDs() (Map, error) { return read("/proc/self/gid_map") }

func read(path string) (Map, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}
