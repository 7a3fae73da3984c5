package encoding

import "github.com/rcrun/rcrun/internal/idmap"

// toContainer returns the container's id of a host id, or unmapped for one that the map cannot show.
func toContainer(m idmap.Map, host, unmapped uint32) uint32 {
	if id, known := m.ToContainer(host); known {
		return id
	}
	return unmapped
}

// toHost is the inverse of toContainer, and tells whether the map has the id.
func toHost(m idmap.Map, container, unmapped uint32) (host uint32, known bool) {
	if id, known := m.ToHost(container); known {
		return id, true
	}
	return unmapped, false
}
