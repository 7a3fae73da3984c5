package quota

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// GrowsAhead tells whether a file may have blocks that were allocated ahead.
func (q *Ledger) GrowsAhead(st *unix.Stat_t) bool {
	return q.ahead && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Blocks*512 > q.blocks(0, st.Size)
}

// Takes returns what the file behind fd, which has the given attributes, is charged. Where the filesystem does not tell
// which blocks were allocated ahead, all of them count.
func (q *Ledger) Takes(fd int, st *unix.Stat_t) Usage {
	whole := UsageOf(st)
	if !q.GrowsAhead(st) {
		return whole
	}
	bytes, err := q.allocatedTo(fd, st.Size)
	if errors.Is(err, unix.EBADF) { // of O_PATH
		file, openErr := sys.Reopen(fd, unix.O_RDONLY|unix.O_NONBLOCK)
		if openErr != nil {
			return whole
		}
		defer unix.Close(file)
		bytes, err = q.allocatedTo(file, st.Size)
	}
	if err != nil {
		return whole
	}
	return Usage{min(bytes, whole.Bytes), 1}
}

// allocatedTo returns how many bytes are allocated up to the end of a file of the given size, and for its xattrs.
func (q *Ledger) allocatedTo(fd int, size int64) (bytes int64, err error) {
	end := q.blocks(0, size)
	add := func(e extent) bool {
		bytes += e.to - e.from
		return true
	}
	err = eachExtent(fd, extent{0, end}, 0, func(e extent) bool { return add(extent{e.from, min(e.to, end)}) })
	if err != nil {
		return 0, err
	}
	return bytes, eachExtent(fd, extent{0, math.MaxInt64}, fiemapXattr, add)
}
