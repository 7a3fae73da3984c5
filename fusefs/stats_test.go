package fusefs

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/fusefs/mount"
	"github.com/rcrun/rcrun/internal/process"
)

// TestStats reads the counters of a mount through the mount.
func TestStats(t *testing.T) {
	m := withLower(t, map[string]string{"file": "12345"})
	m.run(t, func(t *testing.T, mnt string) {
		before, err := mount.ReadStats(t.Context(), mnt)
		must(t, err)
		f, err := os.OpenFile(mnt+"/file", os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.WriteString("678")
		must(t, err)
		must(t, f.Close())
		after, err := mount.ReadStats(t.Context(), mnt)
		must(t, err)
		if got := after.Requests["write"] - before.Requests["write"]; got != 1 {
			t.Errorf("%d writes, want 1", got)
		}
		if got := after.Bytes["write"] - before.Bytes["write"]; got != 3 {
			t.Errorf("%d bytes written, want 3", got)
		}
		if got := after.CopyUps - before.CopyUps; got != 1 {
			t.Errorf("%d copy-ups, want 1", got)
		}
		if after.Requests["total"] <= before.Requests["total"] || after.CacheHits <= before.CacheHits ||
			after.OpenFiles == 0 {
			t.Errorf("counters before %+v, after %+v", before, after)
		}
		if _, err := mount.ReadStats(t.Context(), mnt+"/file"); err == nil {
			t.Error("a file has counters")
		}
		if n, err := unix.Listxattr(mnt, nil); err != nil || n != 0 {
			t.Errorf("the root lists %d bytes of xattrs, %v; want none", n, err)
		}
		if err := unix.Setxattr(mnt, mount.StatsXattr, []byte("x"), 0); err != unix.EPERM {
			t.Errorf("set counters: %v", err)
		}
		if err := unix.Removexattr(mnt, mount.StatsXattr); err != unix.EPERM {
			t.Errorf("remove counters: %v", err)
		}
	})
}

// TestServerOf asks a mount for its server.
func TestServerOf(t *testing.T) {
	withLower(t, map[string]string{"dir/file": "x"}).run(t, func(t *testing.T, mnt string) {
		server, err := process.Identify(os.Getppid())
		must(t, err)
		if got := mount.ServerOf(t.Context(), mnt); got != server {
			t.Errorf("the server is %+v, want %+v", got, server)
		}
		for _, other := range []string{mnt + "/dir", "/", mnt + "/nothing"} {
			if got := mount.ServerOf(t.Context(), other); got != (process.ID{}) {
				t.Errorf("%s has the server %+v", other, got)
			}
		}
		if err := unix.Setxattr(mnt, mount.ServerXattr, []byte("x"), 0); err != unix.EPERM {
			t.Errorf("set the server: %v", err)
		}
	})
}

// of returns the number of requests of a kind.
func (c *Counters) of(kind string) uint64 { return c.byKind()[kind] }
