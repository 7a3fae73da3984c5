package scratch

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
	"github.com/rcrun/rcrun/internal/rmtree"
)

// Dir is a directory for unfinished work. It lives as long as the process that made it: the process holds a lock on it.
// If no process holds a lock on a directory, its process was killed.
type Dir struct {
	Path string
	Lock *os.File // on the directory itself
}

// New makes a scratch directory in root.
func New(root string) (*Dir, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	// No process may look for abandoned directories until this one is locked.
	making, err := lockDir(root, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer making.Close()
	path := filepath.Join(root, rand.Text())
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, fmt.Errorf("make scratch directory: %w", err)
	}
	lock, err := lockDir(path, unix.LOCK_EX)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock scratch directory: %w", err), os.Remove(path))
	}
	return &Dir{Path: path, Lock: lock}, nil
}

// lockDir opens a directory and locks it as flock(2) does.
func lockDir(path string, how int) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := eintr.Repeat(func() error { return unix.Flock(int(dir.Fd()), how) }); err != nil {
		dir.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return dir, nil
}

// Close removes the directory. A second call does nothing.
func (s *Dir) Close() error {
	return errors.Join(rmtree.Remove(s.Path), ignoreClosed(s.Lock.Close()))
}

// Abandon removes everything in the directory but the file keep, and leaves the rest to the process that opens the
// store next.
func (s *Dir) Abandon(keep string) error {
	names, err := NamesIn(s.Path)
	for _, name := range names {
		if name != keep {
			err = errors.Join(err, rmtree.Remove(filepath.Join(s.Path, name)))
		}
	}
	return errors.Join(err, s.Lock.Close())
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// Sweep removes the scratch directories in root that no process uses any more.
func Sweep(root string) error {
	abandoned, _, err := Abandoned(root)
	for _, dir := range abandoned {
		err = errors.Join(err, rmtree.Remove(dir.Name()), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("remove abandoned work: %w", err)
	}
	return nil
}

// Abandoned returns the scratch directories in root that no process uses any more, locked, and how many are in use.
func Abandoned(root string) (abandoned []*os.File, inUse int, err error) {
	looking, err := lockDir(root, unix.LOCK_EX)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer looking.Close()
	names, err := NamesIn(root)
	for _, name := range names {
		path := filepath.Join(root, name)
		dir, err := lockDir(path, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			inUse++
		}
		if err != nil {
			continue // in use, or just removed
		}
		if _, err := os.Lstat(path); err != nil {
			dir.Close() // its user removed it, and then gave up the lock
			continue
		}
		abandoned = append(abandoned, dir)
	}
	return abandoned, inUse, err
}

// NamesIn returns the names in a directory, none where it does not exist.
func NamesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}
