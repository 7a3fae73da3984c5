package tests

import (
	"fmt"
	"strings"
	"testing"
)

// TestImagesAreLookedUpInTheirIndex lists a directory of an image in a container, however the image came into the
// store: the layer itself is not asked for it.
func TestImagesAreLookedUpInTheirIndex(t *testing.T) {
	u := newUserWithImage(t)
	u.looksIntoIndex()
	u.run("save", "--format", "oci-archive", "-o", u.path("home", "saved.tar"), "bb")
	u.run("rmi", "bb")
	u.run("load", "-i", u.path("home", "saved.tar"))
	u.looksIntoIndex()
	u.run("run", "--name", "changed", "--network=none", "bb", "touch", "/bin/new")
	u.run("commit", "changed", "bb")
	u.looksIntoIndex()
}

func (u *user) looksIntoIndex() {
	u.t.Helper()
	counters := `/rcrun union stats --format '{{.DiskLookups}} {{.CacheMisses}} {{.IndexLookups}}' /`
	out := u.run("run", "--rm", "--network=none", "-v", u.path("rcrun")+":/rcrun:ro", "bb", "sh", "-c",
		counters+"; ls -l /bin | wc -l; "+counters)
	var names int
	var before, after struct{ disk, misses, index int }
	_, err := fmt.Sscan(strings.ReplaceAll(out, "\n", " "), &before.disk, &before.misses, &before.index, &names,
		&after.disk, &after.misses, &after.index)
	if err != nil {
		u.t.Fatalf("%q: %v", out, err)
	}
	// Programs are run for this, which are opened: that takes a look or two, and none for each name.
	const few = 20
	if names < 100 || after.index-before.index < names-1 || after.disk-before.disk > few ||
		after.misses-before.misses > few {
		u.t.Errorf("to list %d names: %+v became %+v", names, before, after)
	}
}
