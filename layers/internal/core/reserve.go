package core

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// On a full disk, not even removing an image is possible without room: the records without it are written before those
// with it go. So a store keeps a little room of its own, and gives it up for that.

const (
	reserveName = "reserve"
	// ReserveSize is enough to write the records of a thousand layers.
	ReserveSize = 256 << 10
)

func (s *Store) Reserve() string { return filepath.Join(s.Root, reserveName) }

// keepReserve makes the reserve if it is not there. That there is no room for it is no error.
func (s *Store) keepReserve() {
	path := s.Reserve()
	if _, err := os.Lstat(path); err == nil {
		return
	}
	// Written, because not every filesystem can set room aside for a file without.
	if err := os.WriteFile(path, make([]byte, ReserveSize), 0o600); err != nil {
		_ = os.Remove(path)
	}
}

// withReserve does something that makes room, or that the store cannot be used without: again with the room of the
// reserve, if there is not enough otherwise.
func (s *Store) withReserve(do func() error) error {
	err := do()
	if isFull(err) && os.Remove(s.Reserve()) == nil {
		return do()
	}
	return err
}

// isFull tells whether an error is that the disk, or one's share of it, is full.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
