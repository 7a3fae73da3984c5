package layers

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDedup has two layers with a file in common share it, where the filesystem can. RCRUN_REFLINK_DIR names a directory
// on one that can; elsewhere the answer says what cannot be done.
func TestDedup(t *testing.T) {
	dir, err := os.MkdirTemp(os.Getenv("RCRUN_REFLINK_DIR"), "dedup.")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := Open(Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	same, other := bytes.Repeat([]byte("same"), 5<<20), bytes.Repeat([]byte("othr"), 5<<20)
	for name, files := range map[string][]file{
		"one": {{"a", same}, {"small", []byte("s")}}, "two": {{"b", same}, {"c", other}, {"small", []byte("s")}},
	} {
		if _, err := s.Import(context.Background(), bytes.NewReader(archiveOf(t, files...)), ImportOptions{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.Dedup(context.Background())
	if !canClone(t, dir) {
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "btrfs and XFS") {
			t.Errorf("dedup where files cannot share their content: %v", err)
		}
		return
	}
	if want := (Deduped{Files: 1, Bytes: int64(len(same))}); err != nil || found != want {
		t.Errorf("found %+v, %v; want %+v", found, err, want)
	}
	if problems, err := s.Check(context.Background(), CheckOptions{Deep: true}); err != nil || len(problems) > 0 {
		t.Errorf("check: %+v, %v", problems, err)
	}
}

func canClone(t *testing.T, dir string) bool {
	t.Helper()
	from, err := os.Create(filepath.Join(dir, "from"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(dir, "to"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	return unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil
}
