package fusefs

import (
	"encoding/json"
	"os"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/rcrun/rcrun/fusefs/mount"
	"github.com/rcrun/rcrun/internal/process"
)

// isOwn tells whether a request is for one of the server's own xattrs.
func isOwn(id uint64, name string) bool {
	return id == fuse.FUSE_ROOT_ID && (name == mount.StatsXattr || name == mount.ServerXattr)
}

// getOwn answers GETXATTR of one of the server's own xattrs.
func (s *server) getOwn(name string, buf []byte) (uint32, fuse.Status) {
	if name == mount.ServerXattr && s.anonymous {
		return 0, fuse.ENODATA
	}
	var value any = mount.Stats{Requests: s.counters.byKind(), Bytes: s.counters.bytes.byKind(), Stats: s.union.Stats()}
	if name == mount.ServerXattr {
		if s.flags != nil { // Remount asks for this xattr, and returns when the new flags hold
			s.flags.look()
		}
		self, err := process.Identify(os.Getpid())
		if err != nil {
			return 0, s.status("identify the server", err)
		}
		value = self
	}
	text, err := json.Marshal(value)
	if err != nil {
		return 0, s.status("encode "+name, err)
	}
	return fit(buf, text)
}
