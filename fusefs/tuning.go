package fusefs

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Tuning are settings of a mount that depend on its use. The zero value is best for most uses.
type Tuning struct {
	// Writeback makes the kernel collect written data and send it late, so that many small writes become few
	// requests. In return the kernel asks for the attributes of a file each time after it was closed, and a full disk
	// shows only then.
	Writeback bool
	// DirectIO makes the kernel keep no data. Every read and write is a request, and no data is in memory twice.
	DirectIO bool
	// EntryTimeout, NegativeTimeout and AttrTimeout bound how long the kernel may keep names, missing names and
	// attributes. Nil means forever, which is right as long as no other program changes the directories.
	EntryTimeout, NegativeTimeout, AttrTimeout *time.Duration
	// Threads bounds the requests that are answered at once; 0 means maxReaders.
	Threads int
}

// lease is a time in the form of the protocol.
type lease struct {
	seconds     uint64
	nanoseconds uint32
}

// forever is a timeout that never ends.
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

// capabilities returns the capabilities to ask the kernel for.
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

// openFlags returns the flags of files that the server opens.
func (t *Tuning) openFlags() uint32 {
	if t.DirectIO {
		return fuse.FOPEN_DIRECT_IO
	}
	return fuse.FOPEN_KEEP_CACHE
}

// readers returns the bound of the number of readers.
func (t *Tuning) readers() int {
	if t.Threads > 0 {
		return t.Threads
	}
	return maxReaders
}
