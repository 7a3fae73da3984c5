package unionmount

import (
	"fmt"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
)

// stage is the work directory: where entries are made before they are renamed into the upper, and where what is
// removed from the upper goes first; and the index of hard links and inode numbers.
type stage struct {
	root    int  // the work directory itself
	dir     int  // files being made; all of it is rubbish after a crash
	index   int  // copies of lower hard links, by backingKey.indexName
	devices bool // whiteouts can be made as devices
	// indexed says that the index may hold something. While it does not, names of hard-linked files cost no look there.
	indexed atomic.Bool
	numbers numbers
	next    atomic.Uint64
}

const (
	stageName    = "stage"
	whiteoutName = "whiteout" // in the stage, the device that whiteouts are links of
)

func openStage(work string, upper *layer) (_ *stage, err error) {
	root, err := unix.Open(work, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open work directory %s: %w", work, err)
	}
	s := &stage{root: root, dir: -1, index: -1}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	st, err := statFD(root)
	if err != nil {
		return nil, fmt.Errorf("stat work directory %s: %w", work, err)
	}
	if st.Dev != upper.dev {
		return nil, fmt.Errorf("work directory %s is not on the filesystem of %s", work, upper.dir)
	}
	if err := rmtree.At(root, stageName); err != nil {
		return nil, fmt.Errorf("clear work directory %s: %w", work, err)
	}
	if s.dir, err = makeDir(root, stageName); err != nil {
		return nil, fmt.Errorf("make work directory %s/%s: %w", work, stageName, err)
	}
	if s.index, err = makeDir(root, layerfmt.LinkIndex); err != nil {
		return nil, fmt.Errorf("make work directory %s/%s: %w", work, layerfmt.LinkIndex, err)
	}
	s.devices = s.probeDevices()
	s.numbers.index, s.numbers.of = s.index, map[uint64]number{}
	if err := s.findIndexed(); err != nil {
		return nil, fmt.Errorf("read work directory %s/%s: %w", work, layerfmt.LinkIndex, err)
	}
	return s, nil
}

// findIndexed finds out whether there is anything in the index.
func (s *stage) findIndexed() error {
	fd, err := openat(s.index, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return beneath.ReadDir(fd, func(e beneath.Entry) {
		if !s.numbers.load(e.Name) {
			s.indexed.Store(true)
		}
	})
}

// makeDir opens the directory name, making it when it is missing.
func makeDir(dirfd int, name string) (int, error) {
	if err := unix.Mkdirat(dirfd, name, 0o700); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return openat(dirfd, name, unix.O_PATH|unix.O_DIRECTORY, 0)
}

func (s *stage) close() {
	for _, fd := range []int{s.root, s.dir, s.index} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// name returns one that no file in the stage has.
func (s *stage) name() string { return strconv.FormatUint(s.next.Add(1), 10) }

// probeDevices finds out whether a whiteout device can be made and have links.
func (s *stage) probeDevices() bool {
	name := s.name()
	return s.makeDevice() == nil && s.putDevice(s.dir, name) == nil && unix.Unlinkat(s.dir, name, 0) == nil
}

// makeDevice makes the device that whiteouts are links of, in place of the one before.
func (s *stage) makeDevice() error {
	name := s.name()
	if err := unix.Mknodat(s.dir, name, unix.S_IFCHR, 0); err != nil {
		return err
	}
	return unix.Renameat(s.dir, name, s.dir, whiteoutName)
}

// putDevice makes a whiteout device: a link, because to find a free inode takes most of the time of a removal. When the
// device has as many links as the filesystem allows, the next one begins.
func (s *stage) putDevice(dirfd int, name string) error {
	err := unix.Linkat(s.dir, whiteoutName, dirfd, name, 0)
	if err != unix.EMLINK {
		return err
	}
	if err := s.makeDevice(); err != nil {
		return err
	}
	return unix.Linkat(s.dir, whiteoutName, dirfd, name, 0)
}
