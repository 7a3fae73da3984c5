package tree

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// unpackPlain unpacks a tar into a tree without xattrs.
func unpackPlain(t *testing.T, lowers Lowers, entries ...entry) Tree {
	t.Helper()
	base := t.TempDir()
	plain := Tree{Dir: filepath.Join(base, "diff"), Index: filepath.Join(base, "index")}
	if err := os.Mkdir(plain.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(plain.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m, err := NewMetadata(root, layerfmt.Stat{Mode: unix.S_IFDIR | 0o555})
	if err != nil {
		t.Fatal(err)
	}
	mustIndex(t, root, m, plain.Index)
	if m, err = ReadMetadata(root, plain.Index); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(root, bytes.NewReader(makeTar(t, entries...)),
		UnpackOptions{Lowers: lowers, Metadata: m}); err != nil {
		t.Fatal(err)
	}
	mustIndex(t, root, m, plain.Index)
	return plain
}

func mustIndex(t *testing.T, root *os.File, m *Metadata, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := m.WriteIndex(root, file); err != nil {
		t.Fatal(err)
	}
}

func mustPack(t *testing.T, tree Tree, opts PackOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Pack(tree, &out, opts); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// hasNoXattrs checks that no file of a tree has an xattr.
func hasNoXattrs(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		names, err := beneath.File{FD: unix.AT_FDCWD, Name: path}.Xattrs()
		if len(names) > 0 {
			t.Errorf("%s has %q", path, names)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlainTree unpacks a tar with xattrs and without, and packs the same of both.
func TestPlainTree(t *testing.T) {
	entries := append(slices.Clone(allKinds),
		entry{name: "replaced", mode: 0o4711, uid: 8}, entry{name: "replaced"},
		entry{name: "gone/", uid: 4, mode: 0o1777}, entry{name: "gone", body: "file"},
		entry{name: "hides/", uid: 9}, entry{name: "hides/.wh..wh..opq"}, entry{name: ".wh.deleted"})
	usual := Tree{Dir: mustUnpack(t, nil, entries...)}
	plain := unpackPlain(t, nil, entries...)
	hasNoXattrs(t, plain.Dir)
	opts := PackOptions{OmitRoot: true}
	if !bytes.Equal(mustPack(t, usual, opts), mustPack(t, plain, opts)) {
		t.Error("the tars differ")
	}
	if st, err := plain.Root(); err != nil || st.Mode&0o777 == 0 {
		t.Errorf("%+v, %v", st, err)
	}
	moved := Tree{Dir: plain.Dir + "-copy", Index: plain.Index} // other inode numbers, which an index does not go by
	if err := os.CopyFS(moved.Dir, os.DirFS(plain.Dir)); err == nil {
		if st, ok := (Lowers{moved}).Lookup([]string{"replaced"}); !ok || st.UID != 0 {
			t.Errorf("%+v, %v", st, ok)
		}
	}
}

// TestPlainTreeAbove unpacks a tar whose directories are those of a layer without xattrs.
func TestPlainTreeAbove(t *testing.T) {
	below := unpackPlain(t, nil, entry{name: "srv/", mode: 0o2750, uid: 33, gid: 34}, entry{name: "gone/", uid: 9})
	mid := unpackPlain(t, Lowers{below}, entry{name: "other"}, entry{name: ".wh.gone"})
	top := unpackPlain(t, Lowers{mid, below}, entry{name: "srv/new/file"}, entry{name: "gone/x"})
	for name, want := range map[string]layerfmt.Stat{"srv": {UID: 33, GID: 34, Mode: unix.S_IFDIR | 0o2750},
		"gone": {Mode: unix.S_IFDIR | 0o755}} {
		if st, ok := (Lowers{top}).Lookup([]string{name}); !ok || st != want {
			t.Errorf("%s: %+v, %v", name, st, ok)
		}
	}
}

// TestPlainTreeIsNothingWithoutIndex spoils and loses the index of a tree without xattrs.
func TestPlainTreeIsNothingWithoutIndex(t *testing.T) {
	plain := unpackPlain(t, nil, allKinds...)
	if err := VerifyIndex(plain.Index); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(plain.Dir, "foreign"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Pack(plain, &bytes.Buffer{}, PackOptions{}); !errors.Is(err, errNotIndexed) {
		t.Errorf("a file that is not in the index: %v", err)
	}
	whole, err := os.ReadFile(plain.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{10, len(whole) / 2, len(whole) - 1} {
		spoilt := slices.Clone(whole)
		spoilt[at] ^= 1
		if err := os.WriteFile(plain.Index, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := VerifyIndex(plain.Index); !errors.Is(err, ErrBadIndex) {
			t.Errorf("byte %d: %v", at, err)
		}
		if err := Pack(plain, &bytes.Buffer{}, PackOptions{}); err == nil {
			t.Errorf("byte %d: packed", at)
		}
	}
	if err := os.Remove(plain.Index); err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Root(); err == nil || !strings.Contains(err.Error(), "owners of") {
		t.Errorf("lost: %v", err)
	}
}

// TestRecordedTree reads a tree whose xattrs are in a record.
func TestRecordedTree(t *testing.T) {
	base := t.TempDir()
	side := Tree{Dir: filepath.Join(base, "diff"), Side: filepath.Join(base, "xattrs")}
	if err := os.Mkdir(side.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	want := layerfmt.Stat{UID: 3, GID: 4, Mode: unix.S_IFDIR | 0o1711}
	if err := StartRecord(side.Dir, base, want); err != nil {
		t.Fatal(err)
	}
	hasNoXattrs(t, side.Dir)
	if st, err := side.Root(); err != nil || st != want {
		t.Errorf("%+v, %v", st, err)
	}
}
