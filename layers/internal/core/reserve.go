package core

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// On a full disk the library cannot even remove an image: it writes the records without the image before it deletes the
// records with it. So a store keeps a file that takes up a little room, and deletes that file when it needs the room.

const (
	reserveName = "reserve"
	// ReserveSize is enough to write the records of a thousand layers.
	ReserveSize = 256 << 10
)

// Reserve returns the file that takes up the room.
func (s *Store) Reserve() string { return filepath.Join(s.Root, reserveName) }

// keepReserve makes the reserve if it is not there. It is no error if the disk has no room for it.
func (s *Store) keepReserve() {
	path := s.Reserve()
	if _, err := os.Lstat(path); err == nil {
		return
	}
	// The file is written, because not every filesystem can set room aside for an empty file.
	if err := os.WriteFile(path, make([]byte, ReserveSize), 0o600); err != nil {
		_ = os.Remove(path)
	}
}

// withReserve does something that makes room, or that the store cannot be used without. If the disk is full, it gives
// up the reserve and does it again.
func (s *Store) withReserve(do func() error) error {
	err := do()
	if isFull(err) && os.Remove(s.Reserve()) == nil {
		return do()
	}
	return err
}

// isFull tells whether an error says that the disk, or the user's quota on it, is full.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
