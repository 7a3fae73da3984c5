package unionmount

// Stats count what a Union did since it was opened.
type Stats struct {
	// CopyUps counts the files and directories that got a copy in the upper.
	CopyUps uint64 `json:"copyUps"`
	// CacheHits and CacheMisses count how often the descriptor of a backing file was open already, and how often not.
	CacheHits   uint64 `json:"cacheHits"`
	CacheMisses uint64 `json:"cacheMisses"`
	// DiskLookups and IndexLookups count how often a layer was asked for a name, by system calls and in its index.
	DiskLookups  uint64 `json:"diskLookups"`
	IndexLookups uint64 `json:"indexLookups"`
	// OpenFiles is how many such descriptors are open now, and Nodes how many inodes are known.
	OpenFiles uint64 `json:"openFiles"`
	Nodes     uint64 `json:"nodes"`
}

// Stats returns the counters, which may be a request or two apart.
func (u *Union) Stats() Stats {
	stats := Stats{CopyUps: u.copyUps.Load(), CacheHits: u.fds.hits.Load(), CacheMisses: u.fds.misses.Load(),
		DiskLookups: u.diskLookups.Load(), IndexLookups: u.indexLookups.Load(), OpenFiles: uint64(u.fds.size())}
	u.mu.Lock()
	defer u.mu.Unlock()
	stats.Nodes = uint64(len(u.byID))
	return stats
}

// size returns the number of open descriptors.
func (c *fdCache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.handles)
}
