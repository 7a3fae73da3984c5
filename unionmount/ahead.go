package unionmount

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"
)

// growsAhead tells whether a file may have blocks that were allocated ahead.
func (q *quota) growsAhead(st *unix.Stat_t) bool {
	return q.ahead && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Blocks*512 > q.blocks(0, st.Size)
}

// takes returns what the file behind fd is charged that has the given attributes. Where it cannot be told what was
// allocated ahead, that counts.
func (q *quota) takes(fd int, st *unix.Stat_t) usage {
	whole := usageOf(st)
	if !q.growsAhead(st) {
		return whole
	}
	bytes, err := q.allocatedTo(fd, st.Size)
	if errors.Is(err, unix.EBADF) { // of O_PATH
		file, openErr := reopen(fd, unix.O_RDONLY|unix.O_NONBLOCK)
		if openErr != nil {
			return whole
		}
		defer unix.Close(file)
		bytes, err = q.allocatedTo(file, st.Size)
	}
	if err != nil {
		return whole
	}
	return usage{min(bytes, whole.bytes), 1}
}

// allocatedTo returns how many bytes are allocated up to the end of a file of the given size, and for its xattrs.
func (q *quota) allocatedTo(fd int, size int64) (bytes int64, err error) {
	end := q.blocks(0, size)
	add := func(e extent) bool {
		bytes += e.to - e.from
		return true
	}
	if err := eachExtent(fd, extent{0, end}, 0, func(e extent) bool { return add(extent{e.from, min(e.to, end)}) }); err != nil {
		return 0, err
	}
	return bytes, eachExtent(fd, extent{0, math.MaxInt64}, fiemapXattr, add)
}
