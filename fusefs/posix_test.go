package fusefs

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// unsuitable are tests of go-fuse's suite that do not apply, with the reason.
var unsuitable = map[string]string{
	"FcntlFlockLocksFile": "expects that a process's record locks conflict with each other; see TestLocks",
}

func TestPosix(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		t.Run(name, func(t *testing.T) {
			if reason, ok := unsuitable[name]; ok {
				t.Skip(reason)
			}
			newMounted(t, 1).run(t, func(t *testing.T, mnt string) { posixtest.All[name](t, mnt) })
		})
	}
}

// TestPosixMerged runs the suite in a directory that two lowers have, one of which hides a file of the other.
func TestPosixMerged(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		t.Run(name, func(t *testing.T) {
			if reason, ok := unsuitable[name]; ok {
				t.Skip(reason)
			}
			m := newMounted(t, 2)
			if !inside() {
				must(t, os.Mkdir(m.lower(0)+"/dir", 0o777))
				must(t, os.WriteFile(m.lower(0)+"/dir/.wh.hidden", nil, 0o644))
				must(t, os.Mkdir(m.lower(1)+"/dir", 0o777))
				must(t, os.WriteFile(m.lower(1)+"/dir/hidden", nil, 0o644))
			}
			m.run(t, func(t *testing.T, mnt string) { posixtest.All[name](t, mnt+"/dir") })
		})
	}
}
