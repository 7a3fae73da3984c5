package fusefs

import "sync/atomic"

// Counters count requests by their kind, as they come from the kernel. They may be read while the server runs.
type Counters struct {
	requests [opcodes]atomic.Uint64
	bytes    byteCounters
}

// byteCounters count the bytes of file data that requests moved.
type byteCounters struct{ read, write, copyFileRange atomic.Uint64 }

// opcodes bounds the numbers of requests.
const opcodes = 64

// kinds are the names of the requests by their numbers (fuse_opcode in linux/fuse.h).
var kinds = [opcodes]string{
	1: "lookup", 2: "forget", 3: "getattr", 4: "setattr", 5: "readlink", 6: "symlink", 8: "mknod", 9: "mkdir",
	10: "unlink", 11: "rmdir", 12: "rename", 13: "link", 14: "open", 15: "read", 16: "write", 17: "statfs",
	18: "release", 20: "fsync", 21: "setxattr", 22: "getxattr", 23: "listxattr", 24: "removexattr", 25: "flush",
	26: "init", 27: "opendir", 28: "readdir", 29: "releasedir", 30: "fsyncdir", 31: "getlk", 32: "setlk", 33: "setlkw",
	34: "access", 35: "create", 36: "interrupt", 37: "bmap", 38: "destroy", 39: "ioctl", 40: "poll", 41: "notifyreply",
	42: "forget", 43: "fallocate", 44: "readdirplus", 45: "rename", 46: "lseek", 47: "copyfilerange", 50: "syncfs",
	51: "tmpfile", 52: "statx", 53: "copyfilerange",
}

// kindOther is the name of requests without one.
const kindOther = "other"

// count notes a request.
func (c *Counters) count(opcode uint32) { c.requests[opcode%opcodes].Add(1) }

// byKind returns the numbers of requests, and as "total" of all that somebody waits for, which is all but forget.
func (c *Counters) byKind() map[string]uint64 {
	values := map[string]uint64{}
	for opcode := range c.requests {
		n := c.requests[opcode].Load()
		if n == 0 {
			continue
		}
		kind := kinds[opcode]
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

// byKind returns the numbers of bytes.
func (c *byteCounters) byKind() map[string]uint64 {
	values := map[string]uint64{}
	for kind, n := range map[string]uint64{"read": c.read.Load(), "write": c.write.Load(), "copyfilerange": c.copyFileRange.Load()} {
		if n > 0 {
			values[kind] = n
		}
	}
	return values
}
