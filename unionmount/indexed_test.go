package unionmount

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	layertree "github.com/rcrun/rcrun/layers/tree"
)

// indexed says that lowers that are planted get an index.
var indexed bool

// indexedEnv says to a test that runs in a process of its own which lowers it is for.
const indexedEnv = "RCRUN_INDEXED_TEST"

// TestMain runs all tests three times: with lowers that are read on disk, with such that have an index, and with xattrs
// beside the upper.
func TestMain(m *testing.M) {
	sided = os.Getenv(sidedEnv) != "" // of a process that a test of the third kind started
	which := os.Getenv(indexedEnv)
	indexed = which == "true"
	if sided || which != "" {
		os.Exit(m.Run())
	}
	code := m.Run()
	indexed = true
	code = max(code, m.Run())
	indexed, sided = false, true
	os.Setenv(sidedEnv, "yes")
	os.Exit(max(code, m.Run()))
}

// reopenChanged opens the union again after its lowers were changed.
func (f *fixture) reopenChanged() {
	f.t.Helper()
	f.close()
	for _, l := range f.opts.Lowers {
		if indexed {
			writeIndex(f.t, l)
		}
	}
	f.open()
}

// writeIndex writes the index of a layer, unless the layer holds what none can be made of.
func writeIndex(t testing.TB, l Layer) {
	t.Helper()
	root, err := os.Open(l.Dir)
	must(t, err)
	defer root.Close()
	file, err := os.Create(l.Index)
	must(t, err)
	defer file.Close()
	if err := layertree.WriteIndex(root, file); err != nil {
		must(t, os.Remove(l.Index))
	}
}

// manyLayers returns layers, the nearest first, all of which have the directory a/b with files of their own in it.
func manyLayers(count int) []tree {
	layers := make([]tree, count)
	for i := range layers {
		layers[i] = tree{"a/b/all": file("in all"), fmt.Sprintf("a/b/f%d", i): file("own")}
	}
	layers[count-1]["a/b/linked"] = hardlink("a/b/all")
	return layers
}

// TestLookupCostDoesNotDependOnLayers counts what looking up names and asking for their attributes takes.
func TestLookupCostDoesNotDependOnLayers(t *testing.T) {
	for _, count := range []int{1, 16, 64, 256} {
		f := plantUnion(t, t.TempDir(), manyLayers(count)...)
		for _, l := range f.opts.Lowers {
			writeIndex(t, l)
		}
		f.open()
		dir, err := f.walk("a/b")
		must(t, err)
		before := f.u.Stats()
		names := []string{"all", "linked", "f0", fmt.Sprintf("f%d", count-1), fmt.Sprintf("f%d", count/2)}
		for _, name := range names {
			n, _, err := f.u.Lookup(dir, name)
			must(t, err)
			_, err = f.u.Getattr(n)
			must(t, err)
			f.u.Forget(n, 1)
		}
		_, _, err = f.u.Lookup(dir, "missing")
		wantErrno(t, "missing", err, unix.ENOENT)
		after := f.u.Stats()
		f.u.Forget(dir, 1)
		if after.DiskLookups != before.DiskLookups || after.CacheMisses != before.CacheMisses ||
			after.CacheHits != before.CacheHits {
			t.Errorf("%d layers: the disk was asked: %+v, then %+v", count, before, after)
		}
		if most := 2 * uint64(len(names)+1); after.IndexLookups-before.IndexLookups > most {
			t.Errorf("%d layers: %d searches in indexes, want at most %d", count,
				after.IndexLookups-before.IndexLookups, most)
		}
		f.close()
	}
}

// TestMountReadsNoLower opens a union whose lower directories may not be read, and lists all that is in them.
func TestMountReadsNoLower(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads directories that nobody may read")
	}
	f := plantUnion(t, t.TempDir(), manyLayers(3)...)
	for _, l := range f.opts.Lowers {
		writeIndex(t, l)
		for _, dir := range []string{"/a/b", "/a", ""} {
			must(t, os.Chmod(l.Dir+dir, 0o100)) // no listing
			defer os.Chmod(l.Dir+dir, 0o755)
		}
	}
	f.opts.Upper, f.opts.Work = "", ""
	f.open()
	f.wantNames("a/b", "all", "f0", "f1", "f2", "linked")
	if a := f.stat("a/b/f1"); a.Size != 3 {
		t.Errorf("%+v", a)
	}
	f.close()
}

// TestIndexTellsWhatTheTreeDoes compares all attributes, xattrs and targets.
func TestIndexTellsWhatTheTreeDoes(t *testing.T) {
	trees := []tree{{
		"dir": directory().owned("1:2:1777:dir").attr("user.note", "x"),
		"dir/file": file("content").owned("33:34:4750:file").
			attr(layerfmt.EscapeXattr("security.capability"), "\x01\x00"),
		"dir/plain":  file("").mode(0o640),
		"dir/link":   symlink("target"),
		"dir/owned":  file("elsewhere").owned("7:8:0777:symlink"),
		"dir/device": file("").owned("0:0:0666:char-1-3"),
		"dir/one":    file("group"), "dir/two": hardlink("dir/one"), "top/three": hardlink("dir/one"),
		".wh.hidden": file(""), "top/gone": whiteout(),
	}, {"hidden": file(""), "top/gone": file(""), "top/kept": file("kept"), "dir/below": file("")}}
	f := plantUnion(t, t.TempDir(), trees...)
	want := describeAll(f, false)
	got := describeAll(f, true)
	if len(want) < 12 || !maps.Equal(want, got) {
		t.Errorf("by the index: %v\non disk: %v", got, want)
	}
}

// describeAll opens f with or without indexes, and returns all that is told of each path.
func describeAll(f *fixture, withIndex bool) map[string]string {
	for _, l := range f.opts.Lowers {
		os.Remove(l.Index)
		if withIndex {
			writeIndex(f.t, l)
		}
	}
	f.open()
	defer f.close()
	if (f.u.lowers[0].Contents != nil) != withIndex {
		f.t.Fatalf("with an index: %v, want %v", !withIndex, withIndex)
	}
	told := map[string]string{}
	for _, path := range f.paths("/") {
		must(f.t, f.at(path, func(n *Node) error {
			a, err := f.u.Getattr(n)
			must(f.t, err)
			a.Atime = unix.Timespec{} // an index has none
			told[path] = fmt.Sprintf("%+v", a)
			if n.Kind() == unix.S_IFLNK {
				target, err := f.u.Readlink(n)
				told[path] += fmt.Sprint(target, err)
			}
			names, err := f.u.ListXattr(n)
			for _, name := range slices.Sorted(slices.Values(names)) {
				value, err := f.u.GetXattr(n, name)
				told[path] += fmt.Sprint(name, value, err)
			}
			return err
		}))
	}
	return told
}

// paths returns all paths below a directory, itself included.
func (f *fixture) paths(dir string) []string {
	all := []string{dir}
	for _, name := range f.ls(dir) {
		path := filepath.Join(dir, name)
		if f.stat(path).Mode&unix.S_IFMT == unix.S_IFDIR {
			all = append(all, f.paths(path)...)
		} else {
			all = append(all, path)
		}
	}
	return all
}

// TestUnfitIndexIsNotUsed reads the tree instead.
func TestUnfitIndexIsNotUsed(t *testing.T) {
	for what, spoil := range map[string]func(l Layer) error{
		"of no one":      func(l Layer) error { return os.Remove(l.Index) },
		"cut off":        func(l Layer) error { return os.Truncate(l.Index, 100) },
		"of other bytes": func(l Layer) error { return os.WriteFile(l.Index, make([]byte, 4096), 0o600) },
		"of another tree": func(l Layer) error {
			return errors.Join(os.Rename(l.Dir, l.Dir+".old"), os.CopyFS(l.Dir, os.DirFS(l.Dir+".old")))
		},
		"of an earlier tree": func(l Layer) error { return os.WriteFile(l.Dir+"/new", nil, 0o644) },
	} {
		f := plantUnion(t, t.TempDir(), tree{"d/file": file("x")})
		writeIndex(t, f.opts.Lowers[0])
		must(t, spoil(f.opts.Lowers[0]))
		f.open()
		if f.u.lowers[0].Contents != nil {
			t.Errorf("an index %s is used", what)
		}
		f.want("d/file", "x")
		f.close()
	}
}

// TestBrokenDirectoryOfIndexIsRead spoils the block of one directory.
func TestBrokenDirectoryOfIndexIsRead(t *testing.T) {
	f := plantUnion(t, t.TempDir(), tree{"d/file": file("x"), "e/file": file("y")})
	l := f.opts.Lowers[0]
	writeIndex(t, l)
	data, err := os.ReadFile(l.Index)
	must(t, err)
	data[24]++ // in the first block, which is of one of the two
	must(t, os.WriteFile(l.Index, data, 0o600))
	f.open()
	defer f.close()
	f.want("d/file", "x")
	f.want("e/file", "y")
	f.wantNames("d", "file")
	f.wantNames("e", "file")
	if stats := f.u.Stats(); f.u.lowers[0].Contents == nil || stats.DiskLookups == 0 {
		t.Errorf("the index is used: %v, %d lookups on disk", f.u.lowers[0].Contents != nil, stats.DiskLookups)
	}
}

// TestChangedFileIsNotRead replaces a file of a layer behind the back of its index.
func TestChangedFileIsNotRead(t *testing.T) {
	f := plantUnion(t, t.TempDir(), tree{"d/file": file("first")})
	writeIndex(t, f.opts.Lowers[0])
	f.open()
	defer f.close()
	path := f.opts.Lowers[0].Dir + "/d/file"
	must(t, os.WriteFile(path+"2", []byte("other content"), 0o644))
	must(t, os.Rename(path+"2", path))
	err := f.at("d/file", func(n *Node) error { _, err := f.u.Read(n, make([]byte, 10), 0); return err })
	wantErrno(t, "read", err, unix.ESTALE)
}
