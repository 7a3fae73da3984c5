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

// The library stages layers that it removes in directories of its own. One that a killed process has left it removes
// when the store is next opened, and where that fails, it opens no store. So they are moved out of its sight before.

const (
	staleDirs   = "tempdirs"  // in a driver's directory
	stalePrefix = "temp-dir-" // of a directory
	lockPrefix  = "lock-"     // of the file that the process holds a lock on which uses the directory
)

// moveStale makes scratch directories that nobody uses of what killed processes have left in the library's directories.
// What cannot be moved stays for the library.
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
	// Unlike the library's kind of lock, this kind also tells of one that this process holds.
	if unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &whole) != nil {
		return
	}
	if os.MkdirAll(s.TempRoot(), 0o700) != nil {
		return
	}
	if os.Rename(filepath.Join(root, stalePrefix+id), filepath.Join(s.TempRoot(), rand.Text())) == nil {
		_ = os.Remove(lock.Name()) // without the directory it is in nobody's way
	}
}
