package unionmount

// IDMapping says that Size ids from Host on are shown as the ids from Container on.
type IDMapping struct {
	Container uint32 `json:"container"`
	Host      uint32 `json:"host"`
	Size      uint32 `json:"size"`
}

// toContainer returns the container's id of a host id, or unmapped for one that the maps cannot show.
func toContainer(maps []IDMapping, host, unmapped uint32) uint32 {
	for _, m := range maps {
		if host >= m.Host && host-m.Host < m.Size {
			return m.Container + (host - m.Host)
		}
	}
	return unmapped
}

// toHost is the inverse of toContainer, and tells whether the maps have the id.
func toHost(maps []IDMapping, container, unmapped uint32) (host uint32, known bool) {
	for _, m := range maps {
		if container >= m.Container && container-m.Container < m.Size {
			return m.Host + (container - m.Container), true
		}
	}
	return unmapped, false
}
