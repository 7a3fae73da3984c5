package unionmount

import (
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Quota limits what an upper may take on disk; see the package comment for what counts. Zero fields limit nothing.
type Quota struct {
	Bytes  int64 `json:"bytes,omitempty"`
	Inodes int64 `json:"inodes,omitempty"`
}

// usage is what files take on disk, or a difference of that.
type usage struct{ bytes, inodes int64 }

func (a usage) plus(b usage) usage  { return usage{a.bytes + b.bytes, a.inodes + b.inodes} }
func (a usage) minus(b usage) usage { return usage{a.bytes - b.bytes, a.inodes - b.inodes} }

const (
	// forgetWait is how long a change waits for space to come back before it is refused.
	forgetWait = 80 * time.Millisecond
	// forgetDelay is how long after the removal of a file the kernel may be expected to forget it. A file that is known
	// for longer is open, and nobody waits for it.
	forgetDelay = time.Second
)

// quota keeps the sums of what an upper takes, and refuses what goes beyond the limit.
type quota struct {
	limit    usage         // math.MaxInt64 for none; immutable
	block    int64         // in which the filesystem allocates; immutable
	patience time.Duration // as forgetWait; immutable
	// ahead says that the filesystem allocates more blocks than are asked for, and takes them back when it likes: behind
	// the end of a file that grows, and for writes to shared blocks. They are not charged, and what a container has
	// allocated behind the end cannot be told from them. Immutable.
	ahead bool
	// beforeLook, if not nil, is called with a file that is about to be charged: tests have its data written.
	beforeLook func(fd int)

	mu       sync.Mutex // guards what follows
	used     usage      // what the upper's files take
	grown    int64      // the bytes that were added to used since the files were counted
	promised usage      // what changes under way may take besides
	record   int64      // size of the record of xattrs, where they are in one
	leaving  usage      // the part of used that files take which have no name any more
	left     time.Time  // when the last of these lost its name
	waiting  int        // how many wait for freed
	freed    chan struct{}
}

func newQuota(q Quota, fs *unix.Statfs_t) *quota {
	limit := usage{q.Bytes, q.Inodes}
	if limit.bytes == 0 {
		limit.bytes = math.MaxInt64
	}
	if limit.inodes == 0 {
		limit.inodes = math.MaxInt64
	}
	return &quota{limit: limit, block: max(int64(fs.Bsize), 512), ahead: fs.Type == unix.XFS_SUPER_MAGIC, patience: forgetWait,
		freed: make(chan struct{})}
}

// blocks returns what the blocks take in which a range of a file lies.
func (q *quota) blocks(from, to int64) int64 {
	return (to+q.block-1)/q.block*q.block - from/q.block*q.block
}

// grant is room that one change has been promised. It goes when the change is settled, or is released without one.
type grant struct {
	q      *quota // nil where nothing is limited
	room   usage
	length int64  // of a change of data: for how many of its bytes there is room
	unlock func() // what keeps blocks from being given back that it relies on; may be nil
}

// reserve promises room for a change, or says ENOSPC. A change that needs none, as far as is known before, may begin as
// long as the limit is not passed. A nil quota has room for everything.
func (q *quota) reserve(want usage) (grant, error) {
	if q == nil {
		return grant{}, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for deadline := time.Now().Add(q.patience); !q.fitsLocked(want); {
		if !q.awaitLocked(want, deadline) {
			return grant{}, unix.ENOSPC
		}
	}
	return q.promiseLocked(want), nil
}

// reserveNow is reserve for who knows what else to do before waiting.
func (q *quota) reserveNow(want usage) (grant, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.fitsLocked(want) {
		return grant{}, false
	}
	return q.promiseLocked(want), true
}

// reserveSome promises as many whole blocks as there are, up to want.
func (q *quota) reserveSome(want int64) grant {
	q.mu.Lock()
	defer q.mu.Unlock()
	free := max(q.freeLocked().bytes, 0)
	return q.promiseLocked(usage{bytes: min(want, free/q.block*q.block)})
}

// entry reserves room for a new file.
func (q *quota) entry() (grant, error) { return q.reserve(usage{inodes: 1}) }

func (q *quota) promiseLocked(room usage) grant {
	q.promised = q.promised.plus(room)
	return grant{q: q, room: room}
}

func (q *quota) freeLocked() usage { return q.leftLocked().minus(q.promised) }

// leftLocked is what is not used.
func (q *quota) leftLocked() usage { return q.limit.minus(q.used).minus(usage{bytes: q.record}) }

// recordIs notes the size of the record of xattrs.
func (q *quota) recordIs(size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.record = size
	q.signalLocked()
}

func (q *quota) fitsLocked(want usage) bool {
	free := q.freeLocked()
	return want.bytes <= free.bytes && (want.inodes == 0 || want.inodes <= free.inodes)
}

// awaitLocked waits until something was given back, and tells whether there is hope for what is wanted: that of files
// without a name, for the kernel says with a delay that it has forgotten them, or that of others' promises.
func (q *quota) awaitLocked(want usage, deadline time.Time) bool {
	back := q.promised
	if time.Since(q.left) < forgetDelay {
		back = back.plus(q.leaving)
	}
	free := q.freeLocked().plus(back)
	patience := time.Until(deadline)
	if patience <= 0 || want.bytes > free.bytes || want.inodes > 0 && want.inodes > free.inodes {
		return false
	}
	freed := q.freed
	q.waiting++
	q.mu.Unlock()
	timer := time.NewTimer(patience)
	select {
	case <-freed:
	case <-timer.C:
	}
	timer.Stop()
	q.mu.Lock()
	q.waiting--
	return true
}

// signalLocked wakes those who wait.
func (q *quota) signalLocked() {
	if q.waiting > 0 {
		close(q.freed)
		q.freed = make(chan struct{})
	}
}

// charge adds to what is used, or subtracts from it.
func (q *quota) charge(by usage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(by)
	q.signalLocked()
}

// addLocked changes what is used by a difference.
func (q *quota) addLocked(by usage) {
	q.used = q.used.plus(by)
	q.grown += max(by.bytes, 0)
}

// release gives back what was promised and is not settled.
func (g *grant) release() {
	if g.q == nil {
		return
	}
	g.q.mu.Lock()
	defer g.q.mu.Unlock()
	g.takeBackLocked()
	g.q.signalLocked()
}

func (g *grant) takeBackLocked() {
	if g.q != nil {
		g.q.promised = g.q.promised.minus(g.room)
		g.room = usage{}
	}
	if g.unlock != nil {
		g.unlock()
		g.unlock = nil
	}
}

// toKeep is what to begin with the next time.
func (q *quota) toKeep() usageRecord {
	lasting := q.lasting()
	return usageRecord{Boot: bootID(), Bytes: lasting.bytes, Inodes: lasting.inodes, Grown: q.grown}
}

// trusts tells whether what a record says can be told from what a count would say by no more than a twentieth of the limit:
// when data is written out, a file may come to take, or no longer take, a block for five of its data.
func (q *quota) trusts(record usageRecord) bool { return record.Grown <= q.limit.bytes/4 }

// lasting is what remains used when all that has no name is gone.
func (q *quota) lasting() usage {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used.minus(q.leaving)
}

// show has a filesystem look as large, and as full, as the quota says, where that is less than it is.
func (q *quota) show(st *unix.Statfs_t) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	free := q.leftLocked()
	if q.limit.bytes < math.MaxInt64 {
		unit := st.Frsize
		if unit <= 0 {
			unit = st.Bsize
		}
		st.Blocks = min(st.Blocks, uint64(q.limit.bytes/int64(unit)))
		left := uint64(max(free.bytes, 0) / int64(unit))
		st.Bfree, st.Bavail = min(st.Bfree, left), min(st.Bavail, left)
	}
	if q.limit.inodes == math.MaxInt64 {
		return
	}
	left := uint64(max(free.inodes, 0))
	if st.Files == 0 { // a filesystem that does not count them
		st.Files, st.Ffree = uint64(q.limit.inodes), left
	}
	st.Files, st.Ffree = min(st.Files, uint64(q.limit.inodes)), min(st.Ffree, left)
}
