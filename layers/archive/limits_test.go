package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/tree"
)

// TestMaxLayerSize brings in what unpacks to more than is allowed: compressed layers, and an archive that is itself
// compressed. Nothing of it stays.
func TestMaxLayerSize(t *testing.T) {
	dir := t.TempDir()
	s, err := layers.Open(layers.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"),
		Limits: tree.Limits{Bytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	filesBefore, _ := storetest.Usage(t, s)
	large := storetest.Compress(t, storetest.ArchiveOf(t, storetest.File{Name: "big", Data: make([]byte, 1<<20+1)}))
	if _, err := archive.Import(context.Background(), s, bytes.NewReader(large),
		archive.ImportOptions{Name: "large"}); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("import: %v", err)
	}
	packed := filepath.Join(dir, "archive.tar.gz")
	if err := os.WriteFile(packed, large, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Load(context.Background(), s, packed, nil, archive.LoadOptions{}); !errors.Is(err,
		tree.ErrTooLarge) {
		t.Errorf("load: %v", err)
	}
	if files, bytes := storetest.Usage(t, s); files > filesBefore+8 || bytes > 1<<20 {
		t.Errorf("%d bytes in %d files are left, of %d before", bytes, files, filesBefore)
	}
	fits := storetest.Compress(t, storetest.ArchiveOf(t, storetest.File{Name: "small", Data: make([]byte, 1000)}))
	if _, err := archive.Import(context.Background(), s, bytes.NewReader(fits),
		archive.ImportOptions{Name: "fits"}); err != nil {
		t.Error(err)
	}
}

// TestLoadSparse loads an archive whose only blob is sparse: it says that it has more bytes than it takes.
func TestLoadSparse(t *testing.T) {
	records := ""
	for _, r := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=blobs/sha256/x",
		"GNU.sparse.realsize=1048576"} {
		records += fmt.Sprintf("%02d %s\n", len(r)+4, r)
	}
	const end = 1024 // bytes of an archive after its last entry
	layout := storetest.ArchiveOf(t, storetest.LayoutFiles(t, nil, nil)...)
	pax := storetest.ArchiveOf(t, storetest.File{Name: "pax", Data: []byte(records)})
	setType(pax, tar.TypeXHeader)
	blob := storetest.ArchiveOf(t, storetest.File{Name: "x",
		Data: append([]byte("1\n1048576\n0\n"), make([]byte, 500)...)})
	data := slices.Concat(layout[:len(layout)-end], pax[:len(pax)-end], blob)
	if _, err := archive.Load(context.Background(), storetest.OpenStore(t), storetest.WriteFile(t, data), nil,
		archive.LoadOptions{}); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("load: %v", err)
	}
}

// setType changes the type of the first entry of a tar.
func setType(data []byte, typ byte) {
	const typeAt, sumAt = 156, 148
	data[typeAt] = typ
	copy(data[sumAt:], "        ")
	sum := 0
	for _, b := range data[:512] {
		sum += int(b)
	}
	copy(data[sumAt:], fmt.Sprintf("%06o\x00", sum))
}

// TestCopiedArchiveKeepsHoles looks at the space of an archive that is read from a pipe, and so copied first.
func TestCopiedArchiveKeepsHoles(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "archive.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const size = 64 << 20
	if err := archive.CopyAtMost(file, io.LimitReader(zeros{}, size), size); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := errors.Join(file.Sync(), unix.Fstat(int(file.Fd()), &st)); err != nil {
		t.Fatal(err)
	}
	if st.Size != size || st.Blocks != 0 {
		t.Errorf("%d bytes in %d blocks, want %d in none", st.Size, st.Blocks, size)
	}
	if err := archive.CopyAtMost(file, io.LimitReader(zeros{}, size+1), size); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("of a larger one: error %v, want %v", err, tree.ErrTooLarge)
	}
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
