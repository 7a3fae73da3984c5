package mount

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// The root of every mount has these xattrs. They are read-only and in no list. By them a process that can reach a
// mount can ask its server, with no file or socket beside the mount. ServerXattr is missing in containers, because it
// names a process of the host and when that was started. No container can have xattrs of these names on disk, because
// layer trees reserve them.
const (
	StatsXattr  = "user.rcrun.stats"  // a Stats in JSON
	ServerXattr = "user.rcrun.server" // a process.ID in JSON
)

// Stats are the counters of a running server.
type Stats struct {
	// Requests counts the requests of each kind, and as "total" all but forget, because no caller waits for those.
	// Kinds that never came are left out.
	Requests map[string]uint64 `json:"requests"`
	// Bytes counts the bytes of file data that requests moved, likewise.
	Bytes map[string]uint64 `json:"bytes"`
	unionmount.Stats
}

// ReadStats asks the server of the filesystem that is mounted at target for its counters.
func ReadStats(ctx context.Context, target string) (Stats, error) {
	stats, err := ask[Stats](ctx, target, StatsXattr)
	if err == unix.ENODATA || err == unix.EOPNOTSUPP {
		return Stats{}, fmt.Errorf("read counters of %s: it is not the root of a filesystem served by rcrun", target)
	}
	if err != nil {
		return Stats{}, fmt.Errorf("read counters of %s: %w", target, err)
	}
	return stats, nil
}

// ask asks the server of the filesystem that is mounted at target. A caller whose ctx ends waits no longer; the system
// call, which nothing but a signal that kills interrupts, ends with the server.
func ask[A any](ctx context.Context, target, xattr string) (A, error) {
	type reply struct {
		answer A
		err    error
	}
	replied := make(chan reply, 1)
	go func() {
		var r reply
		r.err = askNow(target, xattr, &r.answer)
		replied <- r
	}()
	select {
	case r := <-replied:
		return r.answer, r.err
	case <-ctx.Done():
		var none A
		return none, context.Cause(ctx)
	}
}

func askNow(target, xattr string, answer any) error {
	const most = 64 << 10 // of the value of any xattr
	buf := make([]byte, most)
	n, err := unix.Getxattr(target, xattr, buf)
	if err != nil {
		return err
	}
	return json.Unmarshal(buf[:n], answer)
}
