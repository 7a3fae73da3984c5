package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// linkedStack is an image layer with five names of one file, a layer of the container's own above it, and the changed
// layer: of the file one name has been written to, one is in a renamed directory, one was deleted and one replaced.
func linkedStack(t *testing.T) (upper string, lowers Lowers, w Writable) {
	image := mustUnpack(t, nil,
		entry{name: "d/", uid: 5, mode: 0o750}, entry{name: "d/a", body: "old"},
		entry{name: "d/b", typ: tar.TypeLink, link: "d/a"},
		entry{name: "dir/c", typ: tar.TypeLink, link: "d/a"}, entry{name: "gone", typ: tar.TypeLink, link: "d/a"},
		entry{name: "replaced", typ: tar.TypeLink, link: "d/a"},
		entry{name: "hidden/x", typ: tar.TypeLink, link: "d/a"})
	initLayer := mustUnpack(t, on(image), entry{name: "own", body: "x"}, entry{name: "dir/", uid: 9},
		entry{name: "dir/own", body: "x"})
	upper = plant(t, t.TempDir(), map[string]string{"d/a": "new", "replaced": "other"})
	makeWhiteout(t, upper, "gone")
	makeWhiteout(t, upper, "own")
	makeWhiteout(t, upper, "hidden")
	makeWhiteout(t, upper, "dir") // where moved was
	writeRef(t, upper+"/moved", layerfmt.RedirectXattr, "2-1:dir", 0)
	index := t.TempDir()
	var st unix.Stat_t
	if err := unix.Stat(image+"/d/a", &st); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(upper+"/d/a", filepath.Join(index, layerfmt.LinkName(1, st.Ino))); err != nil {
		t.Fatal(err)
	}
	return upper, on(initLayer, image), Writable{Hidden: 1, Links: index}
}

func makeWhiteout(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, layerfmt.WhiteoutPrefix+name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// lines returns the entries of a tar as "name content" or "name link to name".
func lines(t *testing.T, data []byte) (list []string) {
	t.Helper()
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		line := hdr.Name + " " + string(text)
		if hdr.Typeflag == tar.TypeLink {
			line = hdr.Name + " link to " + hdr.Linkname
		}
		list = append(list, line)
	}
}

// TestPackLinks checks that a file stays one under all of its names, and that nothing of the container's own layer
// gets into the tar.
func TestPackLinks(t *testing.T) {
	upper, lowers, w := linkedStack(t)
	var out bytes.Buffer
	if err := Pack(Tree{Dir: upper}, &out, PackOptions{OmitRoot: true, Lowers: lowers, Writable: w}); err != nil {
		t.Fatal(err)
	}
	want := []string{".wh.dir ", ".wh.gone ", ".wh.hidden ", "d/ ", "d/a new", "moved/ ", "moved/.wh..wh..opq ",
		"moved/c link to d/a", "replaced other",
		"d/b link to d/a"}
	if got := lines(t, out.Bytes()); !slices.Equal(got, want) {
		t.Errorf("packed\n%q, want\n%q", got, want)
	}
	out.Reset()
	if err := Pack(Tree{Dir: upper}, &out, PackOptions{Flatten: true, Lowers: lowers,
		Writable: Writable{Links: w.Links}}); err != nil {
		t.Fatal(err)
	}
	want = []string{"./ ", "d/ ", "d/a new", "d/b link to d/a", "moved/ ", "moved/c link to d/a",
		"moved/own x", "replaced other"}
	if got := lines(t, out.Bytes()); !slices.Equal(got, want) {
		t.Errorf("flattened\n%q, want\n%q", got, want)
	}
}

// TestPackLinksParents looks at the directories of names that the tree does not have.
func TestPackLinksParents(t *testing.T) {
	image := mustUnpack(t, nil, entry{name: "a/", uid: 5, mode: 0o750}, entry{name: "a/b/", uid: 6, mode: 0o700},
		entry{name: "a/b/far", body: "old"},
		entry{name: "near", typ: tar.TypeLink, link: "a/b/far"})
	upper, index := plant(t, t.TempDir(), map[string]string{"near": "new"}), t.TempDir()
	var st unix.Stat_t
	if err := unix.Stat(image+"/near", &st); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(upper+"/near", filepath.Join(index, layerfmt.LinkName(1, st.Ino))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(upper+"/near", then, then); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Pack(Tree{Dir: upper}, &out, PackOptions{OmitRoot: true, Lowers: on(image),
		Writable: Writable{Links: index}}); err != nil {
		t.Fatal(err)
	}
	entries := readTar(t, &out)
	if len(entries) != 4 || entries[1].name != "a/" || entries[1].uid != 5 || entries[1].mode != 0o750 ||
		entries[2].name != "a/b/" || entries[2].uid != 6 {
		t.Errorf("packed %s", show(entries))
	}
	changes, err := Changes(context.Background(), Tree{Dir: upper}, on(image), Writable{Links: index})
	want := []Change{{"/a", Modified}, {"/a/b", Modified}, {"/a/b/far", Modified}, {"/near", Modified}}
	if err != nil || !slices.Equal(changes, want) {
		t.Errorf("changes %v, %v; want %v", changes, err, want)
	}
}

// TestFlattenUnreadable checks that nothing that cannot be read is left out in silence.
func TestFlattenUnreadable(t *testing.T) {
	image := mustUnpack(t, nil, entry{name: "a"})
	upper := plant(t, t.TempDir(), map[string]string{"b": "x"})
	if err := unix.Setxattr(upper+"/b", layerfmt.StatXattr, []byte("garbage"), 0); err != nil {
		t.Fatal(err)
	}
	if err := Pack(Tree{Dir: upper}, io.Discard, PackOptions{Flatten: true, Lowers: on(image)}); err == nil {
		t.Error("a file with a bad owner was left out")
	}
}
