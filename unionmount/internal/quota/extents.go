package quota

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// extent is a range of a file.
type extent struct{ from, to int64 }

// HasMap tells whether the filesystem of the file behind fd tells which of its blocks are allocated.
func HasMap(fd int) bool {
	err := eachExtent(fd, extent{0, 1}, 0, func(extent) bool { return false })
	return !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOTTY)
}

// unallocated returns where in a range a file has no blocks, as far as that matters: no more than the limit allows.
func (q *Ledger) unallocated(fd int, in extent) ([]extent, error) {
	gaps, err := q.gapsByMap(fd, in)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTTY) { // a filesystem that has no map of its blocks
		return q.gapsBySeek(fd, in)
	}
	return gaps, err
}

// gapList collects what lies between extents that come in order.
type gapList struct {
	gaps []extent
	at   int64 // up to where it is known
	size int64 // of the gaps
}

func (l *gapList) allocated(e extent) {
	if e.from > l.at {
		l.gaps = append(l.gaps, extent{l.at, e.from})
		l.size += e.from - l.at
	}
	l.at = max(l.at, e.to)
}

// gapsBySeek takes for allocated what is data.
func (q *Ledger) gapsBySeek(fd int, in extent) ([]extent, error) {
	l := gapList{at: in.from}
	for l.at < in.to && l.size <= q.limit.Bytes {
		start, end, err := filecopy.NextData(fd, l.at, in.to)
		if err != nil {
			return nil, err
		}
		l.allocated(extent{start, end})
		l.at = max(l.at, start)
	}
	return l.gaps, nil
}

// fiemapIoctl is FS_IOC_FIEMAP of most architectures; on the others no request has this number, and data is sought.
const fiemapIoctl = 0xc020660b

// fiemapExtent is struct fiemap_extent.
type fiemapExtent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

const (
	fiemapLast  = 1 // fiemapExtent.flags: of the file's last extent
	fiemapXattr = 2 // of the request: the extents of the xattrs instead
)

// gapsByMap has the filesystem tell, which alone knows of blocks that are allocated and not written yet.
func (q *Ledger) gapsByMap(fd int, in extent) ([]extent, error) {
	l := gapList{at: in.from}
	end := in.to
	if q.ahead {
		st, err := sys.Stat(fd)
		if err != nil {
			return nil, err
		}
		end = min(end, q.blocks(0, st.Size)) // what is behind is not charged yet
	}
	err := eachExtent(fd, extent{in.from, end}, 0, func(e extent) bool {
		l.allocated(extent{min(e.from, end), min(e.to, end)})
		return l.size <= q.limit.Bytes
	})
	l.allocated(extent{in.to, in.to})
	return l.gaps, err
}

// eachExtent calls f with the extents of a file that are allocated in a range, until it returns false.
func eachExtent(fd int, in extent, flags uint32, f func(extent) bool) error {
	var request struct { // struct fiemap
		start, length        uint64
		flags, mapped, count uint32
		_                    uint32
		extents              [64]fiemapExtent
	}
	for in.from < in.to {
		request.start, request.length = uint64(in.from), uint64(in.to-in.from)
		request.flags, request.count = flags, uint32(len(request.extents))
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fiemapIoctl, uintptr(unsafe.Pointer(&request)))
		if errno != 0 {
			return errno
		}
		for _, e := range request.extents[:request.mapped] {
			in.from = int64(e.logical + e.length)
			if !f(extent{int64(e.logical), in.from}) || e.flags&fiemapLast != 0 {
				return nil
			}
		}
		if request.mapped == 0 {
			return nil
		}
	}
	return nil
}
