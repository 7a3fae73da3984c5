package upkeep_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// TestDedup has two layers with a file in common share it, where the filesystem can. RCRUN_REFLINK_DIR names a
// directory on one that can; elsewhere the answer says what cannot be done.
func TestDedup(t *testing.T) {
	dir, err := os.MkdirTemp(os.Getenv("RCRUN_REFLINK_DIR"), "dedup.")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := layers.Open(layers.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	same, other := bytes.Repeat([]byte("same"), 5<<20), bytes.Repeat([]byte("othr"), 5<<20)
	for name, files := range map[string][]storetest.File{
		"one": {{Name: "a", Data: same}, {Name: "small", Data: []byte("s")}},
		"two": {{Name: "b", Data: same}, {Name: "c", Data: other}, {Name: "small", Data: []byte("s")}},
	} {
		if _, err := archive.Import(context.Background(), s, bytes.NewReader(storetest.ArchiveOf(t, files...)),
			archive.ImportOptions{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := upkeep.Dedup(context.Background(), s)
	if !canClone(t, dir) {
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "btrfs and XFS") {
			t.Errorf("dedup where files cannot share their content: %v", err)
		}
		return
	}
	if want := (upkeep.Deduped{Files: 1, Bytes: int64(len(same))}); err != nil || found != want {
		t.Errorf("found %+v, %v; want %+v", found, err, want)
	}
	if problems, err := upkeep.Check(context.Background(), s, upkeep.CheckOptions{Deep: true}); err != nil ||
		len(problems) > 0 {
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
