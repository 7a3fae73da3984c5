package fusefs

import "sync/atomic"

// Counters count requests by their kind. They may be read while the server runs.
type Counters struct {
	Lookup, Forget, GetAttr, SetAttr, Readlink, Symlink, Mknod, Mkdir, Unlink, Rmdir, Rename, Link atomic.Uint64
	Open, OpenDir, Create                                                                          atomic.Uint64 // those answered ENOSYS
	Read, Write, StatFs, Fsync, FsyncDir, Fallocate, Lseek, CopyFileRange, Ioctl                   atomic.Uint64
	GetXAttr, SetXAttr, ListXAttr, RemoveXAttr, ReadDir, ReadDirPlus, Statx, Tmpfile               atomic.Uint64
	// Total is the sum of all others but Forget, which nobody waits for.
	Total atomic.Uint64
	// Bytes counts the file data that requests moved.
	Bytes ByteCounters
}

// ByteCounters count bytes by the kind of request.
type ByteCounters struct {
	Read, Write, CopyFileRange atomic.Uint64
}

// count notes a request of the kind that which, one of c's fields, stands for.
func (c *Counters) count(which *atomic.Uint64) {
	which.Add(1)
	if which != &c.Forget {
		c.Total.Add(1)
	}
}
