package layers

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rcrun/rcrun/layers/tree"
)

// TestMaxLayerSize brings in what unpacks to more than is allowed: compressed layers, and an archive that is itself
// compressed. Nothing of it stays.
func TestMaxLayerSize(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"), MaxLayerSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	filesBefore, _ := usage(t, s)
	large := compress(t, archiveOf(t, file{"big", make([]byte, 1<<20+1)}))
	if _, err := s.Import(context.Background(), bytes.NewReader(large), ImportOptions{Name: "large"}); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("import: %v", err)
	}
	archive := filepath.Join(dir, "archive.tar.gz")
	if err := os.WriteFile(archive, large, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(context.Background(), archive, nil, LoadOptions{}); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("load: %v", err)
	}
	if files, bytes := usage(t, s); files > filesBefore+8 || bytes > 1<<20 {
		t.Errorf("%d bytes in %d files are left, of %d before", bytes, files, filesBefore)
	}
	fits := compress(t, archiveOf(t, file{"small", make([]byte, 1000)}))
	if _, err := s.Import(context.Background(), bytes.NewReader(fits), ImportOptions{Name: "fits"}); err != nil {
		t.Error(err)
	}
}
