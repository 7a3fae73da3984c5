package workdir

import (
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Origins are the origins of copies that can carry no xattr, by inode number: special files, and links that are links
// on disk. Each is the name of an empty file in the index, so that one listing tells all of them. The file is made
// before the copy gets its name, and removed after the last name of the copy. It has the time of birth of the copy,
// because after a crash another file may get the inode number.
type Origins struct {
	index int // where the files are

	mu sync.Mutex // guards what follows; held while a file is made or removed
	of map[uint64]Copy
}

// Copy is the origin of one copy.
type Copy struct {
	Ino  uint64        // inode number of the copy in the upper
	Born unix.Timespec // and when it was made
	From Origin
}

const CopyPrefix = "copy-"

// FileName returns the name of the note in the index.
func (n Copy) FileName() string {
	return fmt.Sprintf("%s%d-%d.%09d-%s", CopyPrefix, n.Ino, n.Born.Sec, n.Born.Nsec, n.From.Encode())
}

// parseCopy reads what FileName returns; ok is false for any other name.
func parseCopy(name string) (n Copy, ok bool) {
	fields := strings.SplitN(strings.TrimPrefix(name, CopyPrefix), "-", 3)
	if !strings.HasPrefix(name, CopyPrefix) || len(fields) != 3 {
		return n, false
	}
	if _, err := fmt.Sscanf(fields[0]+" "+fields[1], "%d %d.%d", &n.Ino, &n.Born.Sec, &n.Born.Nsec); err != nil {
		return n, false
	}
	from, err := ParseOrigin(fields[2])
	n.From = from
	return n, err == nil
}

// load takes over a file of the index, and tells whether it notes an origin. If two have the same inode number, the
// later one is right.
func (s *Origins) load(name string) bool {
	n, ok := parseCopy(name)
	if ok && (s.of[n.Ino].From.Ino == 0 || later(n.Born, s.of[n.Ino].Born)) {
		s.of[n.Ino] = n
	}
	return ok
}

func later(a, b unix.Timespec) bool { return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec }

// Get returns the note for an inode number of the upper. It may be of a file that is gone.
func (s *Origins) Get(ino uint64) (Copy, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.of[ino]
	return n, ok
}

// Note notes the origin of a copy.
func (s *Origins) Note(n Copy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.dropLocked(n.Ino); err != nil {
		return err
	}
	if err := unix.Mknodat(s.index, n.FileName(), unix.S_IFREG|0o600, 0); err != nil {
		return err
	}
	s.of[n.Ino] = n
	return nil
}

// Drop removes the note of a copy that is gone.
func (s *Origins) Drop(ino uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropLocked(ino)
}

func (s *Origins) dropLocked(ino uint64) error {
	n, ok := s.of[ino]
	if !ok {
		return nil
	}
	delete(s.of, ino)
	err := unix.Unlinkat(s.index, n.FileName(), 0)
	if err == unix.ENOENT {
		return nil
	}
	return err
}
