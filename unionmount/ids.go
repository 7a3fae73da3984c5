package unionmount

// IDMapping says that Size ids from Host on are shown as the ids from Container on.
type IDMapping struct {
	Container uint32 `json:"container"`
	Host      uint32 `json:"host"`
	Size      uint32 `json:"size"`
}

// toContainer returns the container's id of a host id; one that the maps cannot show is 0, so that programs in the
// container meet root's files rather than nobody's.
func toContainer(maps []IDMapping, host uint32) uint32 {
	for _, m := range maps {
		if host >= m.Host && host-m.Host < m.Size {
			return m.Container + (host - m.Host)
		}
	}
	return 0
}
