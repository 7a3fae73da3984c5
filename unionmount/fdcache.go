package unionmount

import (
	"container/list"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// fdCache keeps the descriptors of backing files open between requests, as many as fit, and closes the one that was
// not used for longest when there are more. A descriptor in use or pinned is not closed.
type fdCache struct {
	max          int
	hits, misses atomic.Uint64 // of get

	mu      sync.Mutex // guards what follows, and every handle in it
	handles map[fdKey]*handle
	idle    *list.List // of *handle that are neither in use nor pinned, the longest unused first
	pinned  int        // how many handles are
	parked  map[fdKey]parked
	keepers []*keeper
}

// fdKey says which descriptor of a node: one of the slots below, or the index of a lower directory.
type fdKey struct {
	node *Node
	slot int
}

const (
	slotUpper     = -1 // O_PATH, or as it was made: the backing file in the upper
	slotData      = -2 // open for reading and writing, the backing file in the upper
	slotLowerData = -3 // open for reading, the backing file in a lower
	firstSlot     = slotLowerData
)

// handle is an open descriptor; whoever got it from the cache releases it.
type handle struct {
	fd     int
	key    fdKey
	refs   int
	pinned bool
	gone   bool          // no longer in the cache: closed by the last release
	elem   *list.Element // in idle
}

func newFDCache(max int) *fdCache {
	return &fdCache{max: max, handles: map[fdKey]*handle{}, idle: list.New(), parked: map[fdKey]parked{}}
}

// get returns the handle of key, or nil.
func (c *fdCache) get(key fdKey) *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.handles[key]
	if h == nil {
		c.misses.Add(1)
		return c.fetchLocked(key)
	}
	c.hits.Add(1)
	c.useLocked(h)
	return h
}

func (c *fdCache) useLocked(h *handle) {
	h.refs++
	if h.elem != nil {
		c.idle.Remove(h.elem)
		h.elem = nil
	}
}

// add takes fd over and returns a handle of it, or of the descriptor that key has got meanwhile.
func (c *fdCache) add(key fdKey, fd int) *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.handles[key]; h != nil {
		unix.Close(fd)
		c.useLocked(h)
		return h
	}
	h := &handle{fd: fd, key: key, refs: 1}
	c.handles[key] = h
	c.shrinkLocked()
	return h
}

func (c *fdCache) shrinkLocked() {
	for len(c.handles) > c.max && c.idle.Len() > 0 {
		c.dropLocked(c.idle.Front().Value.(*handle))
	}
}

func (c *fdCache) release(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.refs--
	switch {
	case h.refs > 0:
	case h.gone:
		unix.Close(h.fd)
	case !h.pinned:
		h.elem = c.idle.PushBack(h)
		c.shrinkLocked()
	}
}

// pin keeps the file of h open until its node is dropped, because it can no longer be opened by a name.
func (c *fdCache) pin(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, is := c.parked[h.key.unopened()]; is || h.pinned || h.gone {
		return
	}
	if c.pinned >= c.max/2 && c.parkLocked(h) == nil {
		return
	}
	h.pinned = true
	c.pinned++
}

// drop forgets one descriptor of a node.
func (c *fdCache) drop(key fdKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked(key)
}

func (c *fdCache) forgetLocked(key fdKey) {
	if h := c.handles[key]; h != nil {
		c.dropLocked(h)
	}
	c.unparkLocked(key)
}

// dropNode forgets all descriptors of a node that has the given number of lower parts.
func (c *fdCache) dropNode(n *Node, lowers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for slot := firstSlot; slot < lowers; slot++ {
		c.forgetLocked(fdKey{n, slot})
	}
}

func (c *fdCache) dropLocked(h *handle) {
	delete(c.handles, h.key)
	h.gone = true
	if h.pinned {
		c.pinned--
	}
	if h.elem != nil {
		c.idle.Remove(h.elem)
		h.elem = nil
	}
	if h.refs == 0 {
		unix.Close(h.fd)
	}
}

// close closes everything. No handle may be in use.
func (c *fdCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.handles {
		c.dropLocked(h)
	}
	for _, k := range c.keepers {
		k.end()
	}
}
