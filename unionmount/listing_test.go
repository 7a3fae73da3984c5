package unionmount

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestManyLookupsLoadTheListing looks up names through several layers: a few ask each layer, and from then on a lookup
// opens no lower directory that does not have the name.
func TestManyLookupsLoadTheListing(t *testing.T) {
	lowers := make([]tree, 8)
	for i := range lowers {
		lowers[i] = tree{fmt.Sprintf("d/f%d", i): file(fmt.Sprint(i)), "d/gone": file("x")}
	}
	lowers[0]["d/gone"] = whiteout()
	f := newUnion(t, lowers...)
	must(t, f.at("d", func(n *Node) error {
		for i := range fewLookups + 1 {
			if is := n.listing.isLoaded(); is != (i >= fewLookups && !indexed) {
				t.Errorf("after %d lookups the listing is loaded: %v", i, is)
			}
			f.missing(t, fmt.Sprintf("d/none%d", i))
		}
		for i := range lowers {
			f.want(fmt.Sprintf("d/f%d", i), fmt.Sprint(i))
		}
		f.missing(t, "d/gone")
		must(t, f.create("d/none0", 0o644))
		f.want("d/none0", "")
		return nil
	}))
}

// TestFewLookupsDoNotLoadMuch has one lower with many more names than are asked for.
func TestFewLookupsDoNotLoadMuch(t *testing.T) {
	much := tree{}
	for i := range 4000 {
		much[fmt.Sprintf("d/%d", i)] = file("")
	}
	f := newUnion(t, tree{"d": directory()}, much)
	must(t, f.at("d", func(n *Node) error {
		for i := range 2 * fewLookups {
			f.want(fmt.Sprintf("d/%d", i), "")
		}
		if n.listing.isLoaded() {
			t.Error("the listing is loaded")
		}
		return nil
	}))
}

func (l *listing) isLoaded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded
}

func (f *fixture) missing(t *testing.T, path string) {
	t.Helper()
	if _, err := f.walk(path); !errors.Is(err, unix.ENOENT) {
		t.Errorf("look up %s: %v", path, err)
	}
}
