package workdir

import (
	"fmt"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// Dir is an open work directory.
type Dir struct {
	root    int  // the work directory itself
	Drafts  int  // directory of the files that are being made or taken apart
	Index   int  // directory of the copies of lower files with several names, by Key.IndexName, and of notes
	Devices bool // whiteouts can be made as devices
	// MayHaveLinks says that the index may hold copies or notes of hidden names. As long as it does not, lookups of
	// files with several names do not look there.
	MayHaveLinks atomic.Bool
	Origins      Origins
	next         atomic.Uint64
}

const (
	DraftsName   = "stage"
	WhiteoutName = "whiteout" // among the drafts, the device that whiteouts are links of
)

// Open opens the work directory of an upper, which is on the filesystem dev, and removes the drafts in it.
func Open(work, upper string, dev uint64) (_ *Dir, err error) {
	root, err := unix.Open(work, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open work directory %s: %w", work, err)
	}
	s := &Dir{root: root, Drafts: -1, Index: -1}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	st, err := sys.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("stat work directory %s: %w", work, err)
	}
	if st.Dev != dev {
		return nil, fmt.Errorf("work directory %s is not on the filesystem of %s", work, upper)
	}
	if err := rmtree.At(root, DraftsName); err != nil {
		return nil, fmt.Errorf("clear work directory %s: %w", work, err)
	}
	if s.Drafts, err = MakeDir(root, DraftsName); err != nil {
		return nil, fmt.Errorf("make work directory %s/%s: %w", work, DraftsName, err)
	}
	if s.Index, err = MakeDir(root, layerfmt.LinkIndex); err != nil {
		return nil, fmt.Errorf("make work directory %s/%s: %w", work, layerfmt.LinkIndex, err)
	}
	s.Devices = s.probeDevices()
	s.Origins.index, s.Origins.of = s.Index, map[uint64]Copy{}
	if err := s.findIndexed(); err != nil {
		return nil, fmt.Errorf("read work directory %s/%s: %w", work, layerfmt.LinkIndex, err)
	}
	return s, nil
}

// findIndexed loads the origins in the index, and finds out whether it holds anything else.
func (s *Dir) findIndexed() error {
	fd, err := beneath.Open(s.Index, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return beneath.ReadDir(fd, func(e beneath.Entry) {
		if !s.Origins.load(e.Name) {
			s.MayHaveLinks.Store(true)
		}
	})
}

// MakeDir opens a directory, and makes it first if it is missing.
func MakeDir(dirfd int, name string) (int, error) {
	if err := unix.Mkdirat(dirfd, name, 0o700); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return beneath.Open(dirfd, name, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// Close closes the work directory.
func (s *Dir) Close() {
	for _, fd := range []int{s.root, s.Drafts, s.Index} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// NewName returns a name that no draft has.
func (s *Dir) NewName() string { return strconv.FormatUint(s.next.Add(1), 10) }

// probeDevices finds out whether a whiteout device can be made and have links.
func (s *Dir) probeDevices() bool {
	name := s.NewName()
	return s.MakeDevice() == nil && s.PutDevice(s.Drafts, name) == nil && unix.Unlinkat(s.Drafts, name, 0) == nil
}

// MakeDevice makes the device that whiteouts are links of, in place of the one before.
func (s *Dir) MakeDevice() error {
	name := s.NewName()
	if err := unix.Mknodat(s.Drafts, name, unix.S_IFCHR, 0); err != nil {
		return err
	}
	return unix.Renameat(s.Drafts, name, s.Drafts, WhiteoutName)
}

// PutDevice makes a whiteout device. It is a link, because finding a free inode would take most of the time of a
// removal. If the device has as many links as the filesystem allows, it makes a new one.
func (s *Dir) PutDevice(dirfd int, name string) error {
	err := unix.Linkat(s.Drafts, WhiteoutName, dirfd, name, 0)
	if err != unix.EMLINK {
		return err
	}
	if err := s.MakeDevice(); err != nil {
		return err
	}
	return unix.Linkat(s.Drafts, WhiteoutName, dirfd, name, 0)
}
