package fusefs

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Tuning is how a mount is to work where that is a matter of what it is used for. The zero value is best for most.
type Tuning struct {
	// Writeback has the kernel collect what is written and send it late: many small writes become few requests. It
	// costs a request for the attributes of a file after each time it was closed, and a full disk shows only then.
	Writeback bool
	// DirectIO has the kernel keep no data: every read and write is a request, and memory is used once.
	DirectIO bool
	// EntryTimeout, NegativeTimeout and AttrTimeout are for how long the kernel may believe what it was told of names, of
	// names that are not there, and of attributes; nil is for ever, which is right as long as nobody else changes the
	// directories.
	EntryTimeout, NegativeTimeout, AttrTimeout *time.Duration
	// Threads is how many requests are answered at once, at most; 0 is maxReaders.
	Threads int
}

// lease is a time in the form of the protocol.
type lease struct {
	seconds     uint64
	nanoseconds uint32
}

// forever is a timeout that does not come.
var forever = lease{seconds: 1 << 32}

func newLease(timeout *time.Duration) lease {
	if timeout == nil {
		return forever
	}
	whole := timeout.Truncate(time.Second)
	return lease{uint64(whole / time.Second), uint32(*timeout - whole)}
}

// leases are those of a mount.
type leases struct{ entry, negative, attr lease }

func (t *Tuning) leases() leases {
	return leases{newLease(t.EntryTimeout), newLease(t.NegativeTimeout), newLease(t.AttrTimeout)}
}

// capabilities are what is to be asked of the kernel.
func (t *Tuning) capabilities() uint64 {
	caps := uint64(capabilities)
	if t.Writeback {
		caps |= fuse.CAP_WRITEBACK_CACHE
	}
	if t.DirectIO {
		caps |= fuse.CAP_DIRECT_IO_ALLOW_MMAP
	}
	return caps
}

// openFlags are those of files that the server opens.
func (t *Tuning) openFlags() uint32 {
	if t.DirectIO {
		return fuse.FOPEN_DIRECT_IO
	}
	return fuse.FOPEN_KEEP_CACHE
}

// readers returns how many readers there may be.
func (t *Tuning) readers() int {
	if t.Threads > 0 {
		return t.Threads
	}
	return maxReaders
}
