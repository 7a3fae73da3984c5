package unionmount

import (
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// numbers are the origins of copies that can carry no xattr: special files, and links that are links on disk. Each is the
// name of an empty file in the index, so that one listing tells all of them. It is there before the copy gets its name, and
// goes after the last name of the copy; the time of birth in it tells a copy that it is of from another file that got its
// inode number after a crash.
type numbers struct {
	index int // where the files are

	mu sync.Mutex // guards what follows; held while a file is made or removed
	of map[uint64]number
}

// number is the origin of one copy.
type number struct {
	ino  uint64        // of the copy in the upper
	born unix.Timespec // and when it was made
	from origin
}

const numberPrefix = "copy-"

func (n number) fileName() string {
	return fmt.Sprintf("%s%d-%d.%09d-%s", numberPrefix, n.ino, n.born.Sec, n.born.Nsec, n.from.encode())
}

// parseNumber reads the name of a file; not ok of any other.
func parseNumber(name string) (n number, ok bool) {
	fields := strings.SplitN(strings.TrimPrefix(name, numberPrefix), "-", 3)
	if !strings.HasPrefix(name, numberPrefix) || len(fields) != 3 {
		return n, false
	}
	if _, err := fmt.Sscanf(fields[0]+" "+fields[1], "%d %d.%d", &n.ino, &n.born.Sec, &n.born.Nsec); err != nil {
		return n, false
	}
	from, err := parseOrigin(fields[2])
	n.from = from
	return n, err == nil
}

// load takes over a file that was found in the index, and tells whether it is one of these. Of two for one inode number
// the later is right.
func (s *numbers) load(name string) bool {
	n, ok := parseNumber(name)
	if ok && (s.of[n.ino].from.ino == 0 || later(n.born, s.of[n.ino].born)) {
		s.of[n.ino] = n
	}
	return ok
}

func later(a, b unix.Timespec) bool { return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec }

// get returns what is noted of a file of the upper: it may be of one that is gone.
func (s *numbers) get(ino uint64) (number, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.of[ino]
	return n, ok
}

// note notes the origin of a copy.
func (s *numbers) note(n number) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.dropLocked(n.ino); err != nil {
		return err
	}
	if err := unix.Mknodat(s.index, n.fileName(), unix.S_IFREG|0o600, 0); err != nil {
		return err
	}
	s.of[n.ino] = n
	return nil
}

// drop forgets a copy that is gone.
func (s *numbers) drop(ino uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropLocked(ino)
}

func (s *numbers) dropLocked(ino uint64) error {
	n, ok := s.of[ino]
	if !ok {
		return nil
	}
	delete(s.of, ino)
	err := unix.Unlinkat(s.index, n.fileName(), 0)
	if err == unix.ENOENT {
		return nil
	}
	return err
}

// noteOrigin notes the origin of a copy of n that is about to get its name. Meta of n is held.
func (u *Union) noteOrigin(n *Node, d *draft) error {
	if carriesXattrs(u.upper.copied(n.stat)) {
		return nil
	}
	made := number{ino: d.st.Ino, from: origin{ino: n.ino}}
	var err error
	if made.from.born, err = u.birthHeld(n); err != nil {
		return err
	}
	if made.born, err = birthOf(d.fd); err != nil {
		return err
	}
	return u.stage.numbers.note(made)
}

// forgetOrigin forgets what is noted of n if its last name is gone. Meta of n is held; the file is pinned.
func (u *Union) forgetOrigin(n *Node) error {
	if n.kind == unix.S_IFREG || !n.inUpper.Load() {
		return nil
	}
	if _, noted := u.stage.numbers.get(n.upperKey.ino); !noted {
		return nil
	}
	st, err := u.statBacking(n)
	if err != nil || st.Nlink > 0 {
		return err
	}
	return u.stage.numbers.drop(st.Ino)
}

// findOrigin completes what was found at a name of a directory in the upper.
func (u *Union) findOrigin(p *probed, dirfd int, name string) error {
	if carriesXattrs(p.st.Mode) || p.whiteout {
		return nil
	}
	noted, ok := u.stage.numbers.get(p.st.Ino)
	if !ok {
		return nil
	}
	fd, err := openat(dirfd, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	born, err := birthOf(fd)
	if err == nil && born == noted.born {
		p.origin = noted.from
	}
	return err
}
