package unionmount

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/filecopy"
)

// extent is a range of a file.
type extent struct{ from, to int64 }

// allot finds room for a change of length bytes at offset in the file of n in the upper, open as fd: what it takes at
// most, or, where there is not that much, what blocks are really missing there. If the change may be done in part, it
// may be for less than length.
func (u *Union) allot(n *Node, fd int, offset, length int64, inPart bool) (grant, error) {
	q := u.quota
	if q == nil || length <= 0 {
		return grant{length: length}, nil
	}
	whole := extent{offset / q.block * q.block, offset + length}
	if g, ok := q.reserveNow(usage{bytes: q.blocks(whole.from, whole.to)}); ok {
		g.length = length
		return g, nil
	}
	n.account.holes.RLock()
	g, err := q.allotHoles(fd, whole, inPart)
	if err != nil {
		n.account.holes.RUnlock()
		return grant{}, err
	}
	g.length = min(whole.from+g.length-offset, length)
	if g.length <= 0 {
		g.release()
		n.account.holes.RUnlock()
		return grant{}, unix.ENOSPC
	}
	g.unlock = n.account.holes.RUnlock
	return g, nil
}

// allotHoles is allot for a range that begins with a block, and of which blocks may be allocated already.
func (q *quota) allotHoles(fd int, whole extent, inPart bool) (grant, error) {
	gaps, err := q.unallocated(fd, whole)
	if err != nil {
		return grant{}, err
	}
	missing := int64(0)
	for _, gap := range gaps {
		missing += q.blocks(gap.from, gap.to)
	}
	if missing == 0 { // then it does not matter whether the limit is passed
		return grant{q: q, length: whole.to - whole.from}, nil
	}
	g, err := q.reserve(usage{bytes: missing})
	g.length = whole.to - whole.from
	if err == nil || !inPart {
		return g, err
	}
	g = q.reserveSome(missing)
	g.length = whole.to - whole.from
	for left, i := g.room.bytes, 0; i < len(gaps); i++ {
		gap := gaps[i]
		if size := q.blocks(gap.from, gap.to); size <= left {
			left -= size
			continue
		}
		g.length = gap.from + left - whole.from
		break
	}
	return g, nil
}

// unallocated returns where in a range a file has no blocks, as far as that matters: no more than the limit allows.
func (q *quota) unallocated(fd int, in extent) ([]extent, error) {
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
func (q *quota) gapsBySeek(fd int, in extent) ([]extent, error) {
	l := gapList{at: in.from}
	for l.at < in.to && l.size <= q.limit.bytes {
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
func (q *quota) gapsByMap(fd int, in extent) ([]extent, error) {
	l := gapList{at: in.from}
	end := in.to
	if q.ahead {
		st, err := statFD(fd)
		if err != nil {
			return nil, err
		}
		end = min(end, q.blocks(0, st.Size)) // what is behind is not charged yet
	}
	err := eachExtent(fd, extent{in.from, end}, 0, func(e extent) bool {
		l.allocated(extent{min(e.from, end), min(e.to, end)})
		return l.size <= q.limit.bytes
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

// allotCopy is allot for a copy from another file, which has no more than it has.
func (u *Union) allotCopy(n *Node, fd int, offset int64, from int, fromOffset, length int64) (grant, error) {
	if u.quota == nil {
		return grant{length: length}, nil
	}
	st, err := statFD(from)
	if err != nil {
		return grant{}, err
	}
	return u.allot(n, fd, offset, max(0, min(length, st.Size-fromOffset)), true)
}

// allotFor is allot for fallocate(2).
func (u *Union) allotFor(n *Node, fd int, mode uint32, offset, length int64) (grant, error) {
	switch {
	case u.quota == nil || mode&unix.FALLOC_FL_INSERT_RANGE != 0: // which only moves what there is
		return grant{}, nil
	case mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_COLLAPSE_RANGE) != 0:
		return grant{unlock: n.account.shrinking()}, nil
	case mode&unix.FALLOC_FL_KEEP_SIZE != 0 && u.quota.ahead: // it may be behind the end
		return grant{}, unix.EOPNOTSUPP
	}
	return u.allot(n, fd, offset, length, false)
}

// reserveData reserves room for a copy of a file's data, without its holes where there is not enough for all.
func (q *quota) reserveData(fd int, size int64) (grant, error) {
	if q == nil {
		return grant{}, nil
	}
	if g, ok := q.reserveNow(usage{bytes: q.blocks(0, size)}); ok {
		return g, nil
	}
	all := int64(0)
	for at := int64(0); at < size; {
		start, end, err := filecopy.NextData(fd, at, size)
		if err != nil {
			return grant{}, err
		}
		all += q.blocks(start, end)
		at = end
	}
	return q.reserve(usage{bytes: all})
}

// forXattr is what an xattr takes that does not fit beside an inode, as far as it may be more than a block.
func (q *quota) forXattr(value []byte) usage {
	if q == nil {
		return usage{}
	}
	return usage{bytes: int64(len(value)) / q.block * q.block}
}
