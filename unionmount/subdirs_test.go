package unionmount

import (
	"testing"

	"golang.org/x/sys/unix"
)

// wantLinks wants a path to have so many links.
func (f *fixture) wantLinks(path string, links uint32) {
	f.t.Helper()
	if a := f.stat(path); a.Nlink != links {
		f.t.Errorf("%q has %d links, want %d", path, a.Nlink, links)
	}
}

// TestSubdirectoriesAreCounted wants the link counts of merged directories that a filesystem of one layer would have,
// for both kinds of ownership, and with an index or without.
func TestSubdirectoriesAreCounted(t *testing.T) {
	for ownership, open := range map[string]func(t *testing.T, lowers ...tree) *fixture{
		"caller": newUnion,
		"host":   func(t *testing.T, lowers ...tree) *fixture { return newHostUnion(t, rootIsMe(), lowers...) },
	} {
		t.Run(ownership, func(t *testing.T) { countSubdirectories(t, open) })
	}
}

func countSubdirectories(t *testing.T, open func(t *testing.T, lowers ...tree) *fixture) {
	f := open(t,
		tree{"d/a": directory(), "d/gone": whiteout(), "d/b": file("hides a directory"), "d/.wh.hidden": file(""),
			"none/f": file("f")},
		tree{"d/a/x": file("x"), "d/b/x": file("x"), "d/gone/x": file("x"), "d/hidden/x": file("x"),
			"d/c/x": file("x"), "none/g": file("g"), "one/s/x": file("x")},
	)
	var st unix.Stat_t
	must(t, unix.Stat(f.opts.Lowers[1].Dir+"/d", &st))
	if st.Nlink == 1 {
		t.Skip("this filesystem does not count subdirectories")
	}
	want := f.wantLinks
	f.remounted(func() { want("d", 4); want("none", 2); want("one", 3); want("", 5) })
	must(t, f.mkdir("d/new", 0o755))
	want("d", 5)
	must(t, f.mkdir("d/gone", 0o755))
	must(t, f.mkdir("one/t", 0o755))
	f.remounted(func() { want("d", 6); want("one", 4) })
	must(t, f.rmdir("d/gone"))
	must(t, f.rename("d/c", "one/c", 0))
	f.remounted(func() { want("d", 4); want("one", 5) })
	must(t, f.rename("one/c", "d/b", unix.RENAME_EXCHANGE))
	f.remounted(func() { want("d", 5); want("one", 4) })
	must(t, f.rename("d/new", "one/t", 0))
	f.remounted(func() { want("d", 4); want("one", 4) })
	must(t, f.rename("none", "d/none", 0))
	f.remounted(func() { want("d", 5); want("", 4); want("d/none", 2) })
	f.close()
	f.opts.StaticNlink = true
	f.open()
	want("d", 1)
}

// TestLinkCountStaysOverCopyUp has a directory of one lower become a merged one, which it was counted as nowhere.
func TestLinkCountStaysOverCopyUp(t *testing.T) {
	f := newUnion(t, tree{"d/a/x": file("x"), "d/b/x": file("x"), "d/f": file("f")})
	f.wantLinks("d", 4)
	n, err := f.walk("d")
	must(t, err)
	defer f.u.Forget(n, 1)
	must(t, f.u.copyUp(n, contentBelow))
	// As while another operation changes it: the number is known already.
	n.entries.Lock()
	a, err := f.u.Getattr(n)
	n.entries.Unlock()
	if err != nil || a.Nlink != 4 {
		t.Errorf("%d links, %v; want 4", a.Nlink, err)
	}
	must(t, f.mkdir("d/new", 0o755))
	f.wantLinks("d", 5)
}

// TestLinkCountDuringChange asks for the attributes of a merged directory for the first time while an operation has its
// names locked: 1 then and the number later would be worse than either.
func TestLinkCountDuringChange(t *testing.T) {
	f := newUnion(t, tree{"d/a/x": file("x")}, tree{"d/b/x": file("x")})
	f.wantLinks("d", 4)
	n, err := f.walk("d")
	must(t, err)
	defer f.u.Forget(n, 1)
	n.subdirs.Store(0)
	n.entries.Lock()
	a, err := f.u.Getattr(n)
	kept := n.subdirs.Load()
	n.entries.Unlock()
	if err != nil || a.Nlink != 4 || kept != 0 {
		t.Errorf("%d links, %v, and %d is kept; want 4 and nothing", a.Nlink, err, kept)
	}
	f.wantLinks("d", 4)
}
