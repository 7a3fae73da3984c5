package tree

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/rmtree"

	"github.com/rcrun/rcrun/layers/internal/fewfiles"
)

// makeDeep makes a directory with that many of a name in each other, and a file of five bytes in the last.
func makeDeep(t *testing.T, depth int, name string) (dir string) {
	t.Helper()
	dir = t.TempDir() + "/deep"
	err := os.Mkdir(dir, 0o755)
	fd, openErr := unix.Open(dir, unix.O_PATH, 0)
	err = errors.Join(err, openErr)
	for range depth {
		if err == nil {
			err = unix.Mkdirat(fd, name, 0o755)
		}
		next, openErr := unix.Openat(fd, name, unix.O_PATH, 0)
		err = errors.Join(err, openErr, unix.Close(fd))
		fd = next
	}
	file, openErr := unix.Openat(fd, "file", unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err = errors.Join(err, openErr); err == nil {
		_, err = unix.Write(file, []byte("bytes"))
	}
	if err = errors.Join(err, unix.Close(file), unix.Close(fd)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rmtree.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestDeepTree has a tree of as many levels as a container can make read, written, cloned and indexed with few
// descriptors.
func TestDeepTree(t *testing.T) {
	const levels = MaxDepth - 1
	dir := makeDeep(t, levels, "d")
	fewfiles.Limit(t, 256)
	if size, err := Size(context.Background(), Tree{Dir: dir}); size != 5 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	changes, err := Changes(context.Background(), Tree{Dir: dir}, Lowers{{Dir: t.TempDir()}}, Writable{})
	if err != nil || len(changes) != levels+1 || !strings.HasSuffix(changes[levels].Path, "/d/file") {
		t.Errorf("%d changes, %v", len(changes), err)
	}
	first := mustPack(t, Tree{Dir: dir}, PackOptions{})
	again := t.TempDir() + "/again"
	if err := os.Mkdir(again, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rmtree.Remove(again) })
	if err := unpackInto(t, again, false, first); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, mustPack(t, Tree{Dir: again}, PackOptions{})) {
		t.Error("unpacked and packed again, it is another tar")
	}
	copied := t.TempDir() + "/copied"
	if err := os.Mkdir(copied, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rmtree.Remove(copied) })
	root, err := os.Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := Clone(root, Tree{Dir: again}, CloneOptions{Named: func(string) bool { return true }}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, mustPack(t, Tree{Dir: copied}, PackOptions{})) {
		t.Error("the tar of the clone is another")
	}
	if err := WriteIndex(root, io.Discard); err != nil {
		t.Error(err)
	}
}

// TestLongNames packs a tree with names that are longer than the kernel takes at once, and refuses such that are longer
// than the bound.
func TestLongNames(t *testing.T) {
	component := strings.Repeat("n", maxComponent)
	long := makeDeep(t, 2*maxPath/(maxComponent+1), component)
	tar := mustPack(t, Tree{Dir: long}, PackOptions{})
	again := t.TempDir() + "/again"
	if err := os.Mkdir(again, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rmtree.Remove(again) })
	if err := unpackInto(t, again, false, tar); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(tar, mustPack(t, Tree{Dir: again}, PackOptions{})) {
		t.Error("unpacked and packed again, it is another tar")
	}
	endless := makeDeep(t, maxName/(maxComponent+1)+1, component)
	err := Pack(Tree{Dir: endless}, io.Discard, PackOptions{})
	if err == nil || !strings.Contains(err.Error(), "is longer than 32768") ||
		!strings.Contains(err.Error(), component) {
		t.Errorf("error %v", err)
	}
	if size, err := Size(context.Background(), Tree{Dir: endless}); size != 5 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
}
