package atomicfile

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, content := range []string{"first, and longer", "second"} {
		if err := Write(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(got) != content || info.Mode().Perm() != 0o640 {
			t.Errorf("got %q, %v, %v, %v", got, info.Mode(), err, statErr)
		}
	}
}

// A reader sees one of the values whole, whatever the writers do.
func TestReaderSeesWholeValues(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	values := map[string]bool{"\"aaaaaaaaaaaaaaaaaaaa\"\n": true, "\"b\"\n": true}
	if err := WriteJSON(path, "b"); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for _, value := range []string{"aaaaaaaaaaaaaaaaaaaa", "b"} {
		writers.Go(func() {
			for range 50 {
				if err := WriteJSON(path, value); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		if got, err := os.ReadFile(path); err != nil || !values[string(got)] {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	writers.Wait()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func TestFailureLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(path, func() {}); err == nil {
		t.Error("a value without JSON was written")
	}
	if err := Write(filepath.Join(dir, "missing", "f"), nil, 0o600); err == nil {
		t.Error("a file in a missing directory was written")
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "d"), []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("the old file has %q, %v", got, err)
	}
}
