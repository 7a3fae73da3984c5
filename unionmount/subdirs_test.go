package unionmount

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestSubdirectoriesAreCounted wants the link counts of merged directories that a filesystem of one layer would have.
func TestSubdirectoriesAreCounted(t *testing.T) {
	f := newHostUnion(t, rootIsMe(),
		tree{"d/a": directory(), "d/gone": whiteout(), "d/b": file("hides a directory"), "d/.wh.hidden": file(""), "none/f": file("f")},
		tree{"d/a/x": file("x"), "d/b/x": file("x"), "d/gone/x": file("x"), "d/hidden/x": file("x"), "d/c/x": file("x"), "none/g": file("g"), "one/s/x": file("x")},
	)
	var st unix.Stat_t
	must(t, unix.Stat(f.opts.Lowers[1].Dir+"/d", &st))
	if st.Nlink == 1 {
		t.Skip("this filesystem does not count subdirectories")
	}
	want := func(path string, links uint32) {
		t.Helper()
		if a := f.stat(path); a.Nlink != links {
			t.Errorf("%q has %d links, want %d", path, a.Nlink, links)
		}
	}
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
