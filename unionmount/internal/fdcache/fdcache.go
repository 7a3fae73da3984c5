package fdcache

import (
	"container/list"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Cache keeps descriptors of backing files open, as many as fit. If there are more, it closes the one that was unused
// for longest. It does not close descriptors that are in use or pinned.
type Cache struct {
	Max          int
	hits, misses atomic.Uint64 // of Get

	mu      sync.Mutex // guards what follows, and every handle in it
	handles map[Key]*Handle
	idle    *list.List // of handles that are neither in use nor pinned, the longest unused first
	pinned  int        // number of pinned handles
	parked  map[Key]parked
	keepers []*keeper
}

// Key names a descriptor of a node. The slot is one of the following, or the index of a lower.
type Key struct {
	Node uint64 // its id
	Slot int
}

const (
	Upper     = -1 // the backing file in the upper, O_PATH or as it was made
	UpperData = -2 // the backing file in the upper, open for reading and writing
	LowerData = -3 // the backing file in a lower, open for reading
	firstSlot = LowerData
)

// Handle is an open descriptor. Its user must release it.
type Handle struct {
	FD     int
	key    Key
	refs   int
	pinned bool
	gone   bool          // no longer in the cache: closed by the last release
	elem   *list.Element // in idle
}

// Open returns a cache of at most max descriptors; 0 means half of RLIMIT_NOFILE, whose soft limit it raises to the
// hard one.
func Open(max int) (*Cache, error) {
	if max > 0 {
		return newCache(max), nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("read limit of open files: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return nil, fmt.Errorf("raise limit of open files: %w", err)
		}
	}
	const most = 32 << 10 // more would only take kernel memory
	return newCache(int(min(limit.Cur/2, most))), nil
}

func newCache(max int) *Cache {
	return &Cache{Max: max, handles: map[Key]*Handle{}, idle: list.New(), parked: map[Key]parked{}}
}

// Get returns the handle of a key, or nil if no descriptor is open or parked.
func (c *Cache) Get(key Key) *Handle {
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

func (c *Cache) useLocked(h *Handle) {
	h.refs++
	if h.elem != nil {
		c.idle.Remove(h.elem)
		h.elem = nil
	}
}

// Add takes over fd and returns a handle of it, or of the descriptor that the key has got meanwhile.
func (c *Cache) Add(key Key, fd int) *Handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.handles[key]; h != nil {
		unix.Close(fd)
		c.useLocked(h)
		return h
	}
	h := &Handle{FD: fd, key: key, refs: 1}
	c.handles[key] = h
	c.shrinkLocked()
	return h
}

func (c *Cache) shrinkLocked() {
	for len(c.handles) > c.Max && c.idle.Len() > 0 {
		c.dropLocked(c.idle.Front().Value.(*Handle))
	}
}

// Release ends the use of a handle.
func (c *Cache) Release(h *Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.refs--
	switch {
	case h.refs > 0:
	case h.gone:
		unix.Close(h.FD)
	case !h.pinned:
		h.elem = c.idle.PushBack(h)
		c.shrinkLocked()
	}
}

// Pin keeps the file of h open until its node is dropped, because it can no longer be opened by a name. unopened is
// the slot of the O_PATH descriptor of the same file, because a keeper gives back such a descriptor.
func (c *Cache) Pin(h *Handle, unopened int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := Key{h.key.Node, unopened}
	if _, is := c.parked[key]; is || h.pinned || h.gone {
		return
	}
	if c.pinned >= c.Max/2 && c.parkLocked(h, key) == nil {
		return
	}
	h.pinned = true
	c.pinned++
}

// Drop closes one descriptor of a node.
func (c *Cache) Drop(key Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked(key)
}

func (c *Cache) forgetLocked(key Key) {
	if h := c.handles[key]; h != nil {
		c.dropLocked(h)
	}
	c.unparkLocked(key)
}

// DropNode closes all descriptors of a node, whose slots are below end.
func (c *Cache) DropNode(node uint64, end int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for slot := firstSlot; slot < end; slot++ {
		c.forgetLocked(Key{node, slot})
	}
}

func (c *Cache) dropLocked(h *Handle) {
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
		unix.Close(h.FD)
	}
}

// Close closes everything. No handle may be in use.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.handles {
		c.dropLocked(h)
	}
	for _, k := range c.keepers {
		k.end()
	}
}

// Counts returns how often Get found a descriptor open, and how often not.
func (c *Cache) Counts() (hits, misses uint64) { return c.hits.Load(), c.misses.Load() }

// Size returns the number of open descriptors.
func (c *Cache) Size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.handles)
}

// SetNoAtime changes whether reading data of the upper through open descriptors sets access times.
func (c *Cache) SetNoAtime(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, h := range c.handles {
		if key.Slot != UpperData {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(h.FD), unix.F_GETFL, 0)
		if err != nil {
			continue
		}
		flags &^= unix.O_NOATIME
		if on {
			flags |= unix.O_NOATIME
		}
		// Fails for files of other users, as opening them with O_NOATIME does.
		unix.FcntlInt(uintptr(h.FD), unix.F_SETFL, flags)
	}
}

// Parked returns the number of files that keepers hold, and the threads of the keepers.
func (c *Cache) Parked() (count int, threads []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.keepers {
		threads = append(threads, k.tid)
	}
	return len(c.parked), threads
}

// InUse returns the number of handles that are not released or are pinned.
func (c *Cache) InUse() (count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.handles {
		if h.refs > 0 || h.pinned {
			count++
		}
	}
	return count
}
