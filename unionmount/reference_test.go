package unionmount

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
)

// referringLayer describes trees of real owners that refer to each other as the kernel's overlay has it.
func referringLayer() Layer {
	as := rootIsMe()
	as.Follow, as.Redirect, as.Metacopy = true, true, true
	return as
}

// overlayMark returns the name of an xattr of the kernel's overlay, as the user of the tests has it.
func overlayMark(name string) string { return encoding.OverlayPrefix(true) + name }

func (e entry) redirect(to string) entry {
	return e.attr(overlayMark(layerfmt.OverlayRedirect), to)
}

// hollowFile is a file whose data is in a layer below.
func hollowFile() entry { return file("").attr(overlayMark(layerfmt.OverlayMetacopy), "") }

// TestRenameIsPlain renames directories that are in the lowers, where the upper may not refer to them: it then has
// everything, for any reader.
func TestRenameIsPlain(t *testing.T) {
	f := newHostUnion(t, rootIsMe(), append(mergedTree(),
		tree{"l/a": file(bigData), "l/b": hardlink("l/a"), "l/s": symlink("a"), "l/d/e/f": file("f"),
			"l/d/x": file("x")})...)
	must(t, f.unlink("l/d/x"))
	must(t, f.rename("d", "new", 0))
	must(t, f.rename("l", "new/l", 0))
	must(t, f.write("new/l/b", "B", 0))
	must(t, f.unlink("new/l/d/e/f"))
	f.remounted(func() {
		f.wantNames("/", "e", "new", "other")
		f.wantNames("new/l", "a", "b", "d", "s")
		f.want("new/l/a", "B"+bigData[1:])
		f.want("new/bottom", "bottom")
		f.want("new/sub/deep/x", "x")
		f.want("new/gone", gone)
		f.wantNames("new/l/d/e")
		if a := f.stat("new/l/a"); a.Nlink != 2 {
			t.Errorf("%d links", a.Nlink)
		}
	})
	must(t, f.rename("new", "d", 0)) // back where it was
	must(t, f.rename("d/sub", "e/sub", 0))
	f.close()
	for _, path := range []string{"d/top", "d/bottom", "e/sub/deep/x", "d/l/a"} {
		if st, err := os.Stat(filepath.Join(f.opts.Upper, path)); err != nil || st.Size() == 0 {
			t.Errorf("%s in the upper: %v", path, err)
		}
	}
	if left := whiteoutsIn(t, f.opts.Upper+"/d"); len(left) > 0 {
		t.Errorf("whiteouts in a directory without lowers, which the kernel lists: %q", left)
	}
	f.opts.Lowers = []Layer{f.opts.Lowers[0]}
	f.opts.Lowers[0].Dir = t.TempDir()
	f.open()
	f.want("e/sub/deep/x", "x")
	f.want("d/bottom", "bottom")
}

// whiteoutsIn returns the whiteout devices below a directory.
func whiteoutsIn(t *testing.T, root string) (found []string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type()&fs.ModeCharDevice != 0 {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// TestReferencesOfTheKernel has renamed directories and changed files refer to the lowers as the kernel's overlay does.
func TestReferencesOfTheKernel(t *testing.T) {
	f := newHostUnion(t, referringLayer(), append(mergedTree(),
		tree{"e/big": file(bigData), "e/small": file("small")})...)
	before := f.stat("e/big")
	must(t, f.rename("d", "e/new", 0))
	must(t, f.chmod("e/big", 0o600))
	must(t, f.chmod("e/small", 0o600))
	must(t, f.link("e/big", "e/new/sub/link"))
	must(t, f.rename("e/big", "moved", 0))
	f.remounted(func() {
		f.wantNames("e/new", "bottom", "sub", "top")
		f.want("e/new/sub/deep/x", "x")
		f.want("moved", bigData)
		f.want("e/new/sub/link", bigData)
		if a := f.stat("moved"); a.Size != before.Size || a.Blocks != before.Blocks || a.Ino != before.Ino ||
			a.Nlink != 2 {
			t.Errorf("got %+v, before %+v", a, before)
		}
	})
	for path, want := range map[string]map[string]string{
		"e/new": {layerfmt.OverlayRedirect: "/d"},
		"moved": {layerfmt.OverlayRedirect: "/e/big", layerfmt.OverlayMetacopy: ""},
	} {
		for name, value := range want {
			if got, err := readXattr(f.opts.Upper+"/"+path, overlayMark(name)); err != nil || string(got) != value {
				t.Errorf("%s of %s is %q, %v; want %q", name, path, got, err, value)
			}
		}
	}
	var st unix.Stat_t
	must(t, unix.Stat(f.opts.Upper+"/moved", &st))
	if st.Blocks > 8 || st.Size != before.Size {
		t.Errorf("the copy takes %d blocks", st.Blocks)
	}
	must(t, f.write("moved", "new", 0))
	must(t, f.rename("e/new", "d", 0))
	f.remounted(func() { f.wantMerged("d"); f.want("d/sub/link", "new"+bigData[3:]) })
	if names := f.xattrsOnDisk("d"); len(names) > 1 {
		t.Errorf("what is back at its place has %q", names)
	}
}

// kernelTrees are layers as the kernel's overlay makes them with redirect_dir and metacopy, of mounts on top of each
// other.
func kernelTrees() []tree {
	return []tree{
		{
			"dir/again": directory().redirect("sub"), // renamed within its directory, which was renamed before
			"dir/sub":   whiteout(),
			"meta":      hollowFile().mode(0o600),
			"far":       hollowFile().redirect("/first/deep/data"),
			"only":      hollowFile().redirect("/none"),
		},
		{
			"dir":   directory().redirect("/first"),
			"first": whiteout(),
			"meta":  hollowFile().mode(0o640).redirect("/old"),
			"old":   whiteout(),
		},
		{"first/deep/data": file(bigData), "first/sub/x": file("x"), "first/top": file("top"), "old": file(bigData)},
		{"first/sub/y": file("y"), "dir/hidden": file("hidden")},
	}
}

func TestLayersOfTheKernel(t *testing.T) {
	f := newHostUnion(t, referringLayer(), kernelTrees()...)
	check := func() {
		f.wantNames("/", "dir", "meta") // the others' data is missing
		f.wantNames("dir", "again", "deep", "top")
		f.wantNames("dir/again", "x", "y")
		f.want("dir/again/y", "y")
		f.want("meta", bigData)
		if a := f.stat("meta"); a.Mode != unix.S_IFREG|0o600 || a.Size != int64(len(bigData)) || a.Blocks == 0 {
			t.Errorf("meta: %+v", a)
		}
	}
	check()
	// /first was renamed in a layer between: there is nothing below it any more.
	for _, path := range []string{"far", "only"} {
		_, err := f.walk(path)
		wantErrno(t, path, err, unix.EIO)
	}
	must(t, f.chmod("meta", 0o644))
	must(t, f.rename("dir/again", "moved", 0))
	must(t, f.rename("dir", "e", 0))
	must(t, f.write("meta", "M", 1))
	f.remounted(func() {
		f.want("moved/x", "x")
		f.wantNames("e", "deep", "top")
		f.want("e/deep/data", bigData)
		f.want("meta", bigData[:1]+"M"+bigData[2:])
	})
}

// TestUpperOfTheKernel goes on with an upper that the kernel's overlay has written, whose references are relative.
func TestUpperOfTheKernel(t *testing.T) {
	for _, as := range []Layer{referringLayer(), func() Layer { as := rootIsMe(); as.Follow = true; return as }()} {
		t.Run(fmt.Sprintf("metacopy=%v", as.Metacopy), func(t *testing.T) {
			f := plantUnion(t, t.TempDir(), tree{"d/f": file(bigData), "d/g": file("g"), "d/dir/x": file("x")})
			f.describe(as)
			tree{"d/f": hollowFile().mode(0o600), "d/renamed": directory().redirect("dir"),
				"d/dir": whiteout()}.plant(t, f.opts.Upper)
			must(t, os.Truncate(f.opts.Upper+"/d/f", int64(len(bigData))))
			f.open()
			t.Cleanup(f.close)
			f.want("d/f", bigData)
			f.want("d/renamed/x", "x")
			must(t, f.link("d/f", "elsewhere"))
			must(t, f.rename("d/renamed", "again", 0))
			must(t, f.rename("d", "e", 0))
			f.remounted(func() {
				f.want("elsewhere", bigData)
				f.want("e/f", bigData)
				f.want("again/x", "x")
				f.wantNames("e", "f", "g")
			})
		})
	}
}

// TestBadReferences has layers whose references are forged.
func TestBadReferences(t *testing.T) {
	f := newHostUnion(t, referringLayer(), tree{
		"up":     directory().redirect("../../etc"),
		"abs":    directory().redirect("/../etc"),
		"empty":  directory().redirect("/"),
		"itself": directory().redirect("/itself"),
		"file":   directory().redirect("/f"),
		"dir":    hollowFile().redirect("/d"),
		"loop":   hollowFile(),
		"link":   directory().redirect("/link-out/x"),
		"long":   directory().redirect("/" + strings.Repeat("a/", 1000) + "a"),
		"ok":     file("ok"),
	}, tree{"f": file("f"), "d/x": file("x"), "link-out": symlink("/etc"), "itself": directory().redirect("/itself")})
	for _, path := range []string{"up", "abs", "empty", "dir", "loop"} {
		_, err := f.walk(path)
		wantErrno(t, path, err, unix.EIO)
	}
	for _, path := range []string{"itself", "file", "link", "long"} {
		f.wantNames(path)
	}
	f.want("ok", "ok")
}

// TestReferencesHaveAnEnd follows references that multiply in every layer.
func TestReferencesHaveAnEnd(t *testing.T) {
	var layers []tree
	for range 20 {
		layers = append(layers, tree{"a": directory().redirect("/a/a/a"), "a/a": directory().redirect("/a/a/a")})
	}
	f := newHostUnion(t, referringLayer(), layers...)
	_, err := f.walk("a")
	wantErrno(t, "looking up what leads everywhere", err, unix.ELOOP)
}

// TestReferencesNotFollowed leaves references alone in layers that are not another overlay's.
func TestReferencesNotFollowed(t *testing.T) {
	f := newHostUnion(t, rootIsMe(), tree{"d": directory().redirect("/e"), "f": hollowFile()},
		tree{"e/x": file("x"), "d/y": file("y"), "f": file("f")})
	f.wantNames("d", "y")
	f.want("f", "")
}
