package tree

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

func mustClone(t *testing.T, dir string, opts CloneOptions) string {
	t.Helper()
	to := t.TempDir()
	if err := WriteStat(to, layerfmt.Stat{Mode: unix.S_IFDIR | 0o700, GID: 99}); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := Clone(root, Tree{Dir: dir}, opts); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestClone has a tree with an entry of every kind cloned: the clone makes the same tar, times included, and nothing
// that it consists of is a file of the other tree.
func TestClone(t *testing.T) {
	dir := mustUnpack(t, nil, allKinds...)
	clone := mustClone(t, dir, CloneOptions{Named: func(string) bool { return true }})
	var want, got bytes.Buffer
	if err := Pack(Tree{Dir: dir}, &want, PackOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := Pack(Tree{Dir: clone}, &got, PackOptions{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("got:\n%s\nwant:\n%s", show(readTar(t, &got)), show(readTar(t, &want)))
	}
	var one, two, other unix.Stat_t
	for path, st := range map[string]*unix.Stat_t{clone + "/same1": &one, clone + "/same2": &two, dir +
		"/same1": &other} {
		if err := unix.Lstat(path, st); err != nil {
			t.Fatal(err)
		}
	}
	if one.Ino != two.Ino || one.Nlink != 2 || one.Ino == other.Ino {
		t.Errorf("hard links are inodes %d and %d with %d names, in the other tree %d", one.Ino, two.Ino, one.Nlink,
			other.Ino)
	}
}

// TestCloneParents clones a tree in which the tar left directories out, above other layers than before: their owners
// and modes are those of the layers below the clone, as if the tar had been unpacked there.
func TestCloneParents(t *testing.T) {
	dir := mustUnpack(t, Lowers{{Dir: mustUnpack(t, nil, entry{name: "a/", mode: 0o750, uid: 3})}},
		entry{name: "a/b/c", mode: 0o644}, entry{name: "d/", mode: 0o711, uid: 4})
	below := mustUnpack(t, nil, entry{name: "a/", mode: 0o1770, uid: 5}, entry{name: "d/", mode: 0o700, uid: 6})
	clone := mustClone(t, dir, CloneOptions{Named: func(path string) bool { return path == "d" },
		Lowers: Lowers{{Dir: below}}})
	for name, want := range map[string]layerfmt.Stat{
		"":    {Mode: unix.S_IFDIR | 0o700, GID: 99},
		"a":   {Mode: unix.S_IFDIR | 0o1770, UID: 5},
		"a/b": {Mode: unix.S_IFDIR | 0o755},
		"d":   {Mode: unix.S_IFDIR | 0o711, UID: 4},
	} {
		if got, err := statAt(filepath.Join(clone, name)); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", name, got, err, want)
		}
	}
}

// TestCloneHoles clones a file of which only the end is there: the rest takes no room in the clone either.
func TestCloneHoles(t *testing.T) {
	dir := mustUnpack(t, nil, entry{name: "f", typ: tar.TypeReg, mode: 0o600})
	const size = 64 << 20
	file, err := os.OpenFile(filepath.Join(dir, "f"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("end"), size-3); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(mustClone(t, dir, CloneOptions{Named: func(string) bool { return true }}), "f"),
		&st); err != nil {
		t.Fatal(err)
	}
	if st.Size != size || st.Blocks*512 > 1<<20 {
		t.Errorf("the clone has %d bytes in %d blocks", st.Size, st.Blocks)
	}
}

// TestClonePlain clones a tree that has its owners in its index alone.
func TestClonePlain(t *testing.T) {
	from := unpackPlain(t, nil, allKinds...)
	to := Tree{Dir: filepath.Join(t.TempDir(), "tree")}
	to.Index = to.Dir + "-index"
	if err := os.Mkdir(to.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(to.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m, err := NewMetadata(root, layerfmt.Stat{Mode: unix.S_IFDIR | 0o700, GID: 99})
	if err != nil {
		t.Fatal(err)
	}
	if err := Clone(root, from, CloneOptions{Named: func(string) bool { return true }, Metadata: m}); err != nil {
		t.Fatal(err)
	}
	mustIndex(t, root, m, to.Index)
	hasNoXattrs(t, to.Dir)
	if !bytes.Equal(mustPack(t, from, PackOptions{}), mustPack(t, to, PackOptions{})) {
		t.Error("the tars differ")
	}
}
