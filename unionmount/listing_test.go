package unionmount

import (
	"errors"
	"fmt"
	"testing"

	"github.com/rcrun/rcrun/unionmount/internal/listing"
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
			if is := n.listing.IsLoaded(); is != (i >= fewLookups && !indexed) {
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
		if n.listing.IsLoaded() {
			t.Error("the listing is loaded")
		}
		return nil
	}))
}

func (f *fixture) missing(t *testing.T, path string) {
	t.Helper()
	if _, err := f.walk(path); !errors.Is(err, unix.ENOENT) {
		t.Errorf("look up %s: %v", path, err)
	}
}

// TestKnownNames asks for names that are known not to be there, which asks no layer, and makes and removes them: with
// and without a mark in the upper, in a directory that was listed and in one that was made empty.
func TestKnownNames(t *testing.T) {
	f := newUnion(t, tree{"d/lower": file("1"), "d/marked": file("2"), "d/.wh.besides": file("")},
		tree{"d/besides": file("3")})
	must(t, f.mkdir("d/new", 0o755))
	must(t, f.unlink("d/marked"))
	for _, dir := range []string{"d", "d/new"} {
		must(t, f.at(dir, func(n *Node) error {
			must(t, f.u.Readdir(n, 0, func(e *Dirent) bool {
				if e.Node != nil {
					f.u.Forget(e.Node, 1)
				}
				return true
			}))
			before := f.u.diskLookups.Load()
			if _, _, err := f.u.Lookup(n, "none"); !errors.Is(err, unix.ENOENT) {
				t.Errorf("look up %s/none: %v", dir, err)
			}
			if got := f.u.diskLookups.Load() - before; got != 0 {
				t.Errorf("%s: %d layers were asked for a name that is not there", dir, got)
			}
			return nil
		}))
	}
	for _, name := range []string{"d/marked", "d/besides", "d/lower", "d/new/x"} {
		for i := range 3 {
			if i > 0 || name != "d/lower" {
				must(t, f.create(name, 0o644))
				must(t, f.write(name, "new", 0))
			}
			f.want(name, map[bool]string{true: "1", false: "new"}[i == 0 && name == "d/lower"])
			must(t, f.rename(name, name+"2", 0))
			f.missing(t, name)
			must(t, f.unlink(name+"2"))
			f.missing(t, name+"2")
		}
		must(t, f.create(name, 0o644))
	}
	f.reopen()
	for _, name := range []string{"d/marked", "d/besides", "d/lower", "d/new/x"} {
		f.want(name, "")
		f.missing(t, name+"2")
	}
}

// TestUnreadListingIsBounded makes more files in a new directory than are kept in mind for it.
func TestUnreadListingIsBounded(t *testing.T) {
	f := newUnion(t)
	must(t, f.mkdir("d", 0o755))
	for i := range listing.MostUnread + 1 {
		must(t, f.create(fmt.Sprintf("d/%d", i), 0o644))
	}
	must(t, f.at("d", func(n *Node) error {
		if n.listing.IsLoaded() {
			t.Error("the listing is kept")
		}
		return nil
	}))
	f.want("d/7", "")
	f.missing(t, "d/none")
}
