package workdir

import (
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Origins are the origins of copies that can carry no xattr: special files, and links that are links on disk. Each is
// the name of an empty file in the index, so that one listing tells all of them. It is there before the copy gets its
// name, and goes after the last name of the copy; the time of birth in it tells a copy that it is of from another
// file that got its inode number after a crash.
type Origins struct {
	index int // where the files are

	mu sync.Mutex // guards what follows; held while a file is made or removed
	of map[uint64]Copy
}

// Copy is the origin of one copy.
type Copy struct {
	Ino  uint64        // of the copy in the upper
	Born unix.Timespec // and when it was made
	From Origin
}

const CopyPrefix = "copy-"

func (n Copy) FileName() string {
	return fmt.Sprintf("%s%d-%d.%09d-%s", CopyPrefix, n.Ino, n.Born.Sec, n.Born.Nsec, n.From.Encode())
}

// parseCopy reads the name of a file; not ok of any other.
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

// load takes over a file that was found in the index, and tells whether it is one of these. Of two for one inode number
// the later is right.
func (s *Origins) load(name string) bool {
	n, ok := parseCopy(name)
	if ok && (s.of[n.Ino].From.Ino == 0 || later(n.Born, s.of[n.Ino].Born)) {
		s.of[n.Ino] = n
	}
	return ok
}

func later(a, b unix.Timespec) bool { return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec }

// Get returns what is noted of a file of the upper: it may be of one that is gone.
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

// Drop forgets a copy that is gone.
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
