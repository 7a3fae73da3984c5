package fusefs

import "sync/atomic"

// Counters count requests by their kind, as they come from the kernel. They may be read while the server runs.
type Counters struct {
	requests [opcodes]atomic.Uint64
	bytes    byteCounters
}

// byteCounters count the bytes of file data that requests moved.
type byteCounters struct{ read, write, copyFileRange atomic.Uint64 }

// count notes a request.
func (c *Counters) count(opcode uint32) { c.requests[opcode%opcodes].Add(1) }

// byKind returns the numbers of requests by kind, and as "total" the number of all but forget, because no caller
// waits for those.
func (c *Counters) byKind() map[string]uint64 {
	values := map[string]uint64{}
	for opcode := range c.requests {
		n := c.requests[opcode].Load()
		if n == 0 {
			continue
		}
		kind := requestKinds[opcode].name
		if kind == "" {
			kind = kindOther
		}
		values[kind] += n
		if kind != "forget" {
			values["total"] += n
		}
	}
	return values
}

// byKind returns the numbers of bytes by kind of request.
func (c *byteCounters) byKind() map[string]uint64 {
	values := map[string]uint64{}
	for kind, n := range map[string]uint64{
		"read": c.read.Load(), "write": c.write.Load(), "copyfilerange": c.copyFileRange.Load(),
	} {
		if n > 0 {
			values[kind] = n
		}
	}
	return values
}
