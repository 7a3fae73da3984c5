package fusefs

import (
	"encoding/json"
	"fmt"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount"
)

// statsXattr is an xattr that every mount's root has, in no list and read-only: its value is a Stats in JSON. No
// container can have an xattr of that name on disk, since layer trees reserve it. Thus whoever can reach a mount can
// read its counters, with no file or socket beside it.
const statsXattr = "user.rcrun.stats"

// Stats are the counters of a running server.
type Stats struct {
	// Requests counts the requests of each kind, and as "total" all but forget, which nobody waits for; kinds that
	// never came are left out.
	Requests map[string]uint64 `json:"requests"`
	// Bytes counts the bytes of file data that requests moved, likewise.
	Bytes map[string]uint64 `json:"bytes"`
	unionmount.Stats
}

// ReadStats asks the server of the filesystem that is mounted at target for its counters.
func ReadStats(target string) (Stats, error) {
	const most = 64 << 10 // of the value of any xattr
	buf := make([]byte, most)
	n, err := unix.Getxattr(target, statsXattr, buf)
	if err == unix.ENODATA || err == unix.EOPNOTSUPP {
		return Stats{}, fmt.Errorf("read counters of %s: it is not the root of a filesystem served by rcrun", target)
	}
	if err != nil {
		return Stats{}, fmt.Errorf("read counters of %s: %w", target, err)
	}
	var stats Stats
	if err := json.Unmarshal(buf[:n], &stats); err != nil {
		return Stats{}, fmt.Errorf("read counters of %s: %w", target, err)
	}
	return stats, nil
}

// isStats tells whether a request is for the counters.
func isStats(id uint64, name string) bool { return id == fuse.FUSE_ROOT_ID && name == statsXattr }

// getStats answers GETXATTR of statsXattr.
func (s *server) getStats(buf []byte) (uint32, fuse.Status) {
	stats := Stats{Requests: s.counters.byKind(), Bytes: s.counters.bytes.byKind(), Stats: s.union.Stats()}
	text, err := json.Marshal(stats)
	if err != nil {
		return 0, s.status("encode counters", err)
	}
	return fit(buf, text)
}
