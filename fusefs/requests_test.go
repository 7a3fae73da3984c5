package fusefs

import (
	"maps"
	"os"
	"testing"

	"github.com/rcrun/rcrun/fusefs/mount"
)

// TestRequests counts what operations cost once the kernel knows the names.
func TestRequests(t *testing.T) {
	m := withLower(t, map[string]string{"d/file": "data", "d/mode": "data"})
	m.run(t, func(t *testing.T, mnt string) {
		read := func() error { _, err := os.ReadFile(mnt + "/d/file"); return err }
		list := func() error { _, err := os.ReadDir(mnt + "/d"); return err }
		stat := func() error { _, err := os.Stat(mnt + "/d/file"); return err }
		miss := func() error {
			if _, err := os.Stat(mnt + "/d/none"); !os.IsNotExist(err) {
				return os.ErrExist
			}
			return nil
		}
		create := func() error { return os.WriteFile(mnt+"/d/none", make([]byte, 4096), 0o644) }
		// The first CREATE is refused for all others, and the directory's new times are asked for.
		first := func() error { return os.WriteFile(mnt+"/d/first", nil, 0o644) }
		parent := func() error { _, err := os.Stat(mnt + "/d"); return err }
		chmod := func() error { return os.Chmod(mnt+"/d/mode", 0o600) }
		for _, warm := range []func() error{first, parent, list, read, stat, miss, list, read, stat} {
			must(t, warm())
		}
		for _, c := range []struct {
			name string
			op   func() error
			most uint64
		}{
			{"open, read, close", read, 0},
			{"readdir", list, 0},
			{"stat", stat, 0},
			{"a missing name", miss, 0},
			{"chmod", chmod, 1},
			// MKNOD, WRITE, and the GETXATTR of security.capability before the first write
			{"create, write, close", create, 3},
		} {
			if got, kinds := costOf(t, mnt, c.op); got > c.most {
				t.Errorf("%s: %d requests, want at most %d: %v", c.name, got, c.most, kinds)
			}
		}
	})
}

// costOf returns the number of requests of op, and how many of each kind.
func costOf(t *testing.T, mnt string, op func() error) (total uint64, kinds map[string]uint64) {
	t.Helper()
	stats := func() map[string]uint64 {
		s, err := mount.ReadStats(t.Context(), mnt)
		must(t, err)
		return s.Requests
	}
	first, before := stats(), stats()
	must(t, op())
	after := stats()
	kinds = map[string]uint64{}
	for kind, n := range after {
		if cost := n - before[kind] - (before[kind] - first[kind]); cost != 0 {
			kinds[kind] = cost
		}
	}
	total = kinds["total"]
	maps.DeleteFunc(kinds, func(kind string, _ uint64) bool { return kind == "total" || kind == "forget" })
	return total, kinds
}
