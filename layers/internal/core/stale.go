package core

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// The library moves layers that it removes into directories of its own first. When it next opens the store, it removes
// the directories that a killed process has left, and opens no store if that fails. So this file moves such directories
// to abandoned work before the library looks for them.

const (
	staleDirs   = "tempdirs"  // in a driver's directory
	stalePrefix = "temp-dir-" // of a directory
	lockPrefix  = "lock-"     // of the file that the user of the directory holds a lock on
)

// moveStale turns what killed processes have left in the library's directories into abandoned scratch directories. What
// cannot be moved stays where it is.
func (s *Store) moveStale() {
	for _, root := range []string{filepath.Join(s.Root, s.DriverName, staleDirs),
		filepath.Join(s.RecordDir(LayerRecords), "tmp")} {
		names, _ := scratch.NamesIn(root)
		for _, name := range names {
			if id, ok := strings.CutPrefix(name, stalePrefix); ok {
				s.moveStaleDir(root, id)
			}
		}
	}
}

// moveStaleDir moves a directory, unless a living process uses it.
func (s *Store) moveStaleDir(root, id string) {
	lock, err := os.OpenFile(filepath.Join(root, lockPrefix+id), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer lock.Close()
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	// Unlike the library's kind of lock, this kind also conflicts with a lock that this process holds.
	if unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &whole) != nil {
		return
	}
	if os.MkdirAll(s.TempRoot(), 0o700) != nil {
		return
	}
	if os.Rename(filepath.Join(root, stalePrefix+id), filepath.Join(s.TempRoot(), rand.Text())) == nil {
		_ = os.Remove(lock.Name()) // without the directory the file does no harm
	}
}
