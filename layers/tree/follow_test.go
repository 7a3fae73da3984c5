package tree

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

func symlink(name, target string) entry {
	return entry{name: name, typ: tar.TypeSymlink, mode: 0o777, link: target}
}

// TestBelowLinks unpacks entries whose parents are links of the same tar, which lead nowhere out of the tree.
func TestBelowLinks(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []entry
		want    []string // of Pack, as name, type and content, without directories and links
	}{
		{"link to a directory", []entry{{name: "usr/bin/"}, symlink("bin", "usr/bin"), {name: "bin/sh", body: "1"},
			{name: "bin/ls", body: "2"}, {name: "etc"}, {name: "bin/d/x", body: "3"}},
			[]string{"etc 0 ", "usr/bin/d/x 0 3", "usr/bin/ls 0 2", "usr/bin/sh 0 1"}},
		{"absolute link", []entry{{name: "usr/"}, symlink("abs", "/usr"), {name: "abs/y", body: "1"}},
			[]string{"usr/y 0 1"}},
		{"link of another owner", []entry{{name: "d/"}, {name: "l", typ: tar.TypeSymlink, uid: 7, link: "d"},
			{name: "l/y", body: "1"}}, []string{"d/y 0 1"}},
		{"link that leads out", []entry{symlink("a", "../../outside"), {name: "a/x", body: "1"}},
			[]string{"outside/x 0 1"}},
		{"link to the root", []entry{symlink("a", "/"), {name: "a/x", body: "1"}}, []string{"x 0 1"}},
		{"link to nothing", []entry{symlink("a", "b/c"), {name: "a/x", body: "1"}}, []string{"b/c/x 0 1"}},
		{"chain of links", []entry{symlink("a", "b"), symlink("b", "./c/../d"), {name: "a/x", body: "1"}},
			[]string{"d/x 0 1"}},
		{"links within links", []entry{{name: "d/"}, symlink("d/up", ".."), {name: "d/up/d/up/x", body: "1"}},
			[]string{"x 0 1"}},
		{"link to its own directory", []entry{{name: "d/"}, symlink("d/me", "."), {name: "d/me/me/x", body: "1"},
			{name: "d/y", body: "2"}}, []string{"d/x 0 1", "d/y 0 2"}},
		{"hard link by way of a link", []entry{{name: "u/a", body: "1"}, symlink("l", "u"),
			{name: "b", typ: tar.TypeLink, link: "l/a"}}, []string{"b 0 1", "u/a 1 b"}},
		{"hard link below a link", []entry{{name: "u/a", body: "1"}, symlink("l", "u"),
			{name: "l/b", typ: tar.TypeLink, link: "u/a"}}, []string{"u/a 0 1", "u/b 1 u/a"}},
		{"whiteout", []entry{{name: "d/"}, symlink("l", "d"), {name: "l/.wh.x"}}, []string{"d/.wh.x 0 "}},
		{"opaque mark", []entry{{name: "d/"}, symlink("l", "d"), {name: "l/.wh..wh..opq"}},
			[]string{"d/.wh..wh..opq 0 "}},
		{"whiteout, then file", []entry{{name: "d/.wh.x"}, symlink("l", "d"), {name: "l/x", body: "1"}},
			[]string{"d/x 0 1"}},
		{"directory with two names", []entry{{name: "d/e/"}, symlink("l", "d"), {name: "l/e/", uid: 3},
			{name: "l/e/x", body: "1"}}, []string{"d/e/x 0 1"}},
	} {
		trees := map[string]Tree{"with xattrs": {Dir: mustUnpack(t, nil, c.entries...)},
			"plain": unpackPlain(t, nil, c.entries...)}
		for form, tree := range trees {
			var got []string
			for _, line := range packedTree(t, tree) {
				if _, rest, _ := strings.Cut(line, " "); rest[0] != tar.TypeDir && rest[0] != tar.TypeSymlink {
					got = append(got, line)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, %s:\ngot  %q\nwant %q", c.name, form, got, c.want)
			}
			checkFiles(t, tree, c.entries)
		}
	}
}

// TestDeepLinks follows a link of which each step opens one directory, and not all from the root.
func TestDeepLinks(t *testing.T) {
	deep := strings.TrimSuffix(strings.Repeat("d/", 2000), "/")
	entries := []entry{{name: deep + "/"}, symlink("l", deep),
		symlink("up", strings.Repeat("d/", 800)+strings.Repeat("../", 799))}
	for i := range 20 {
		entries = append(entries, entry{name: "l/" + strconv.Itoa(i) + "/x"},
			entry{name: "up/" + strconv.Itoa(i) + "/x"})
	}
	start := time.Now()
	dir := mustUnpack(t, nil, entries...)
	t.Log("it took", time.Since(start)) // to open all from the root took minutes
	files, err := OpenFiles(Tree{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if got := files.Resolve("up/7/x"); got != "d/7/x" {
		t.Errorf("up/7/x leads to %q", got)
	}
	if got := files.Resolve("l/7/x"); got != deep+"/7/x" {
		t.Errorf("l/7/x leads to %.40q...", got)
	}
}

// checkFiles reads the files of a tree by the names that they have in the tar, as is done to write the tar out again.
func checkFiles(t *testing.T, tree Tree, entries []entry) {
	t.Helper()
	files, err := OpenFiles(tree)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for _, e := range entries {
		if e.body == "" {
			continue
		}
		file, err := files.Get(e.name)
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
			continue
		}
		data, err := io.ReadAll(file)
		file.Close()
		if err != nil || string(data) != e.body {
			t.Errorf("%s has %q, %v; want %q", e.name, data, err, e.body)
		}
	}
}

// TestLowerLinkStaysHidden checks that a directory which an entry needs takes the place of a link in a layer below.
func TestLowerLinkStaysHidden(t *testing.T) {
	below := mustUnpack(t, nil, entry{name: "usr/bin/"}, symlink("bin", "usr/bin"))
	top := mustUnpack(t, on(below), entry{name: "bin/x", body: "1"})
	if got := packedTree(t, Tree{Dir: top}); !slices.Equal(got, []string{"bin/ 5 ", "bin/x 0 1"}) {
		t.Errorf("got %q", got)
	}
}

// TestCloneBelowLinks clones a layer that describes a directory by a name with a link.
func TestCloneBelowLinks(t *testing.T) {
	dir := mustUnpack(t, nil, entry{name: "usr/"}, symlink("lib", "usr"), entry{name: "lib/d/", uid: 9, mode: 0o700},
		entry{name: "lib/d/x"})
	files, err := OpenFiles(Tree{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if got := files.Resolve("lib/d/"); got != "usr/d" {
		t.Fatalf("lib/d/ leads to %q", got)
	}
	if got := files.Resolve("./none/x"); got != "none/x" {
		t.Fatalf("./none/x leads to %q", got)
	}
	root, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	named := map[string]bool{"usr": true, files.Resolve("lib/d/"): true}
	if err := Clone(root, Tree{Dir: dir},
		CloneOptions{Named: func(dir string) bool { return named[dir] }}); err != nil {
		t.Fatal(err)
	}
	want := layerfmt.Stat{UID: 9, Mode: unix.S_IFDIR | 0o700}
	if st, err := statAt(root.Name() + "/usr/d"); err != nil || st != want {
		t.Errorf("the directory is %+v, %v; want %+v", st, err, want)
	}
}

func packedTree(t *testing.T, tree Tree) (list []string) {
	t.Helper()
	packed := mustPack(t, tree, PackOptions{OmitRoot: true})
	eachEntry(t, bytes.NewReader(packed), func(hdr *tar.Header, body string) {
		list = append(list, hdr.Name+" "+string(hdr.Typeflag)+" "+hdr.Linkname+body)
	})
	return list
}
