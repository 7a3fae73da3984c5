package filewatch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// watched returns a directory with a file "a", and a watcher of it.
func watched(t *testing.T, names ...string) (dir string, w *Watcher) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a", "")
	w, err := New(dir, names...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return dir, w
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// waits wants a wait to end with a change.
func waits(t *testing.T, what string, w *Watcher, want Change) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err := w.Wait(ctx); got != want || err != nil {
		t.Errorf("%s: change %d, %v", what, got, err)
	}
}

// quiet wants a wait not to end.
func quiet(t *testing.T, what string, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got, err := w.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: change %d, %v", what, got, err)
	}
}

func TestChanges(t *testing.T) {
	dir, w := watched(t, "a", "b")
	quiet(t, "nothing", w)
	write(t, dir, "a", "text")
	waits(t, "data", w, Data)
	write(t, dir, "c", "text")
	quiet(t, "another file", w)
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	waits(t, "renamed", w, Any)
	quiet(t, "all is told", w)
}

// A directory that is removed while one of its files is open is gone all the same.
func TestGone(t *testing.T) {
	dir, w := watched(t, "b")
	file, err := os.Open(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Wait(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A directory below one that the caller may not read can be watched.
func TestUnreadableAbove(t *testing.T) {
	above := filepath.Join(t.TempDir(), "above")
	dir := filepath.Join(above, "dir")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(above, 0o300); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(above, 0o700)
	w, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	write(t, dir, "a", "")
	waits(t, "a new file", w, Any)
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	waits(t, "a removed one", w, Any)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Wait(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
}

// The release of a lock is seen soon, though the kernel tells of the close before.
func TestLockReleased(t *testing.T) {
	dir, _ := watched(t)
	path := filepath.Join(dir, "a")
	held, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.FcntlFlock(held.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	w, err := WatchLock(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	quiet(t, "a lock that is held", w)
	time.AfterFunc(10*time.Millisecond, func() { held.Close() })
	for begun := time.Now(); locked(t, path); {
		waits(t, "release", w, Any)
		if time.Since(begun) > time.Minute {
			t.Fatal("the release is not seen")
		}
	}
}

func locked(t *testing.T, path string) bool {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	probe := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, &probe); err != nil {
		t.Fatal(err)
	}
	return probe.Type != unix.F_UNLCK
}

// A watcher that the kernel gave nothing looks at the clock.
func TestWithoutWatch(t *testing.T) {
	dir, _ := watched(t)
	w := &Watcher{dir: dir}
	waits(t, "a look", w, Any)
	quiet(t, "cancelled", w)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Wait(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	_, w := watched(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := w.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	quiet(t, "another wait", w)
}
