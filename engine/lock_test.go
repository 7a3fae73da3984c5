package engine

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReleaseWithCopy releases a lock of whose descriptor there is a copy, as in a process that is just being started.
func TestReleaseWithCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockFile)
	held, err := newLock(path)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := unix.Dup(int(held.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(copied)
	if !locked(path) {
		t.Error("the lock does not hold")
	}
	held.release()
	if locked(path) {
		t.Error("the lock holds after its release")
	}
}
