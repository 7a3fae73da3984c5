package layers

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// scratch is a directory for unfinished work. It lives as long as the process that made it: the process holds a lock
// on it, and what nobody holds a lock on has been left behind by one that was killed.
type scratch struct {
	Path string
	lock *os.File // on the directory itself
}

// newScratch makes a scratch directory in root.
func newScratch(root string) (*scratch, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	for {
		path := filepath.Join(root, rand.Text())
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, fmt.Errorf("make scratch directory: %w", err)
		}
		lock, err := lockDir(path)
		if err == nil {
			return &scratch{Path: path, lock: lock}, nil
		}
		// Between mkdir and lock a sweep may have taken the directory for an abandoned one.
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock scratch directory: %w", err), os.Remove(path))
		}
	}
}

// lockDir opens a directory and locks it without waiting. A directory that is gone once it is locked does not exist.
func lockDir(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	if _, err := os.Stat(path); err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// Close removes the directory. Closing twice does nothing more.
func (s *scratch) Close() error {
	return errors.Join(os.RemoveAll(s.Path), ignoreClosed(s.lock.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// sweepScratch removes the scratch directories in root that nobody uses any more.
func sweepScratch(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for abandoned work: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		lock, err := lockDir(path)
		if err != nil {
			continue // in use, or just removed by another process
		}
		err = os.RemoveAll(path)
		lock.Close()
		if err != nil {
			return fmt.Errorf("remove abandoned work: %w", err)
		}
	}
	return nil
}
