package quota

import (
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what files take on disk, or a difference of that.
type Usage struct{ Bytes, Inodes int64 }

// Plus returns the sum.
func (a Usage) Plus(b Usage) Usage { return Usage{a.Bytes + b.Bytes, a.Inodes + b.Inodes} }

// Minus returns the difference.
func (a Usage) Minus(b Usage) Usage { return Usage{a.Bytes - b.Bytes, a.Inodes - b.Inodes} }

// UsageOf returns what the file with the given attributes takes, with the blocks that were allocated ahead.
func UsageOf(st *unix.Stat_t) Usage { return Usage{st.Blocks * 512, 1} }

const (
	// forgetWait is how long a change waits for space to come back before it is refused.
	forgetWait = 80 * time.Millisecond
	// forgetDelay is how long after the removal of a file the kernel may be expected to forget it. A file that the
	// kernel knows for longer is open, and no change waits for it.
	forgetDelay = time.Second
)

// Ledger keeps the sum of what an upper takes, and refuses what goes beyond the limit.
type Ledger struct {
	limit Usage // math.MaxInt64 for none; immutable
	block int64 // size of the blocks that the filesystem allocates; immutable
	// ahead says that the filesystem allocates more blocks than it was asked for, and takes them back when it likes:
	// behind the end of a file that grows, and for writes to shared blocks. They are not charged, and blocks that a
	// container has allocated behind the end of a file look the same. Immutable.
	ahead bool

	// Patience and Delay are forgetWait and forgetDelay, but for tests.
	Patience, Delay time.Duration
	// BeforeLook, if not nil, is called with a file that is about to be charged: tests have its data written out.
	BeforeLook func(fd int)

	mu       sync.Mutex // guards what follows
	used     Usage      // what the upper's files take
	grown    int64      // the bytes that were added to used since the files were counted
	promised Usage      // what changes under way may take besides
	record   int64      // size of the record of xattrs, where they are in one
	leaving  Usage      // the part of used that files take which have no name any more
	left     time.Time  // when the last of these lost its name
	waiting  int        // how many changes wait for freed
	freed    chan struct{}
}

// New returns the ledger of an upper on a filesystem. A field of limit that is zero limits nothing.
func New(limit Usage, fs *unix.Statfs_t) *Ledger {
	if limit.Bytes == 0 {
		limit.Bytes = math.MaxInt64
	}
	if limit.Inodes == 0 {
		limit.Inodes = math.MaxInt64
	}
	return &Ledger{limit: limit, block: max(int64(fs.Bsize), 512), ahead: fs.Type == unix.XFS_SUPER_MAGIC,
		Patience: forgetWait, Delay: forgetDelay, freed: make(chan struct{})}
}

// Begin sets what is used, and how much of that came since the files were counted, before there are changes.
func (q *Ledger) Begin(used Usage, grown int64) { q.used, q.grown = used, grown }

// AllocatesAhead tells whether the filesystem allocates blocks ahead.
func (q *Ledger) AllocatesAhead() bool { return q.ahead }

// blocks returns what the blocks take in which a range of a file lies.
func (q *Ledger) blocks(from, to int64) int64 {
	return (to+q.block-1)/q.block*q.block - from/q.block*q.block
}

// Reserve promises room for a change, or returns ENOSPC. A change that is not known to need any may begin as long as
// the limit is not passed.
func (q *Ledger) Reserve(want Usage) (Grant, error) {
	if q == nil {
		return Grant{}, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for deadline := time.Now().Add(q.Patience); !q.fitsLocked(want); {
		if !q.awaitLocked(want, deadline) {
			return Grant{}, unix.ENOSPC
		}
	}
	return q.promiseLocked(want), nil
}

// ReserveFile promises room for a new file.
func (q *Ledger) ReserveFile() (Grant, error) { return q.Reserve(Usage{Inodes: 1}) }

// ReserveXattr promises room for an xattr that does not fit beside an inode, as far as it may take more than a block.
func (q *Ledger) ReserveXattr(value []byte) (Grant, error) {
	if q == nil {
		return Grant{}, nil
	}
	return q.Reserve(Usage{Bytes: int64(len(value)) / q.block * q.block})
}

// reserveNow is Reserve that does not wait, for a caller that can do something else first.
func (q *Ledger) reserveNow(want Usage) (Grant, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.fitsLocked(want) {
		return Grant{}, false
	}
	return q.promiseLocked(want), true
}

// reserveSome promises as many whole blocks as there are, up to want.
func (q *Ledger) reserveSome(want int64) Grant {
	q.mu.Lock()
	defer q.mu.Unlock()
	free := max(q.freeLocked().Bytes, 0)
	return q.promiseLocked(Usage{Bytes: min(want, free/q.block*q.block)})
}

func (q *Ledger) promiseLocked(room Usage) Grant {
	q.promised = q.promised.Plus(room)
	return Grant{q: q, room: room}
}

func (q *Ledger) freeLocked() Usage { return q.unusedLocked().Minus(q.promised) }

func (q *Ledger) unusedLocked() Usage { return q.limit.Minus(q.used).Minus(Usage{Bytes: q.record}) }

func (q *Ledger) fitsLocked(want Usage) bool {
	free := q.freeLocked()
	return want.Bytes <= free.Bytes && (want.Inodes == 0 || want.Inodes <= free.Inodes)
}

// awaitLocked waits until something was given back. It returns false at once if what is wanted would not fit even then:
// room comes back from promises that are not used up, and from files without a name, since the kernel says with a delay
// that it has forgotten one.
func (q *Ledger) awaitLocked(want Usage, deadline time.Time) bool {
	back := q.promised
	if time.Since(q.left) < q.Delay {
		back = back.Plus(q.leaving)
	}
	free := q.freeLocked().Plus(back)
	patience := time.Until(deadline)
	if patience <= 0 || want.Bytes > free.Bytes || want.Inodes > 0 && want.Inodes > free.Inodes {
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

// signalLocked wakes the changes that wait.
func (q *Ledger) signalLocked() {
	if q.waiting > 0 {
		close(q.freed)
		q.freed = make(chan struct{})
	}
}

// Charge adds to what is used, or subtracts from it.
func (q *Ledger) Charge(by Usage) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(by)
	q.signalLocked()
}

// addLocked changes what is used by a difference.
func (q *Ledger) addLocked(by Usage) {
	q.used = q.used.Plus(by)
	q.grown += max(by.Bytes, 0)
}

// RecordIs notes the size of the record of xattrs.
func (q *Ledger) RecordIs(size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.record = size
	q.signalLocked()
}

// Trusts tells whether a sum of which so many bytes came since the files were counted differs by no more than a
// twentieth of the limit from what a count would say: when data is written out, a file may come to take one block more
// or less for each five blocks of its data.
func (q *Ledger) Trusts(grown int64) bool { return grown <= q.limit.Bytes/4 }

// State is what a ledger has at one moment.
type State struct {
	Limit, Used, Promised Usage
	Leaving               Usage // the part of Used that files take which have no name any more
	Grown                 int64 // the bytes that were added to Used since the files were counted
	Record                int64 // size of the record of xattrs
	Block                 int64
	Waiting               int // changes that wait for room
}

// Lasting is what remains used when all that has no name is gone.
func (s State) Lasting() Usage { return s.Used.Minus(s.Leaving) }

// State returns the state of the ledger.
func (q *Ledger) State() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return State{Limit: q.limit, Used: q.used, Promised: q.promised, Leaving: q.leaving, Grown: q.grown,
		Record: q.record, Block: q.block, Waiting: q.waiting}
}

// Show has a filesystem look as large, and as full, as the ledger says, where that is less than it is.
func (q *Ledger) Show(st *unix.Statfs_t) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	free := q.unusedLocked()
	if q.limit.Bytes < math.MaxInt64 {
		unit := st.Frsize
		if unit <= 0 {
			unit = st.Bsize
		}
		st.Blocks = min(st.Blocks, uint64(q.limit.Bytes/int64(unit)))
		left := uint64(max(free.Bytes, 0) / int64(unit))
		st.Bfree, st.Bavail = min(st.Bfree, left), min(st.Bavail, left)
	}
	if q.limit.Inodes == math.MaxInt64 {
		return
	}
	left := uint64(max(free.Inodes, 0))
	if st.Files == 0 { // a filesystem that does not count them
		st.Files, st.Ffree = uint64(q.limit.Inodes), left
	}
	st.Files, st.Ffree = min(st.Files, uint64(q.limit.Inodes)), min(st.Ffree, left)
}
