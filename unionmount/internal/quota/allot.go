package quota

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// Allot finds room for a change of length bytes at offset in the file behind fd, the account's. It promises what the
// change takes at most, or, where there is not that much, the blocks that are really missing there. If the change may
// be done in part, the grant may be for less than length.
func (a *Account) Allot(fd int, offset, length int64, inPart bool) (Grant, error) {
	if a == nil || length <= 0 {
		return Grant{Length: length}, nil
	}
	q := a.q
	whole := extent{offset / q.block * q.block, offset + length}
	if g, ok := q.reserveNow(Usage{Bytes: q.blocks(whole.from, whole.to)}); ok {
		g.Length = length
		return g, nil
	}
	a.holes.RLock()
	g, err := q.allotHoles(fd, whole, inPart)
	if err != nil {
		a.holes.RUnlock()
		return Grant{}, err
	}
	g.Length = min(whole.from+g.Length-offset, length)
	if g.Length <= 0 {
		g.Release()
		a.holes.RUnlock()
		return Grant{}, unix.ENOSPC
	}
	g.unlock = a.holes.RUnlock
	return g, nil
}

// allotHoles is Allot for a range that begins with a block, and of which blocks may be allocated already.
func (q *Ledger) allotHoles(fd int, whole extent, inPart bool) (Grant, error) {
	gaps, err := q.unallocated(fd, whole)
	if err != nil {
		return Grant{}, err
	}
	missing := int64(0)
	for _, gap := range gaps {
		missing += q.blocks(gap.from, gap.to)
	}
	if missing == 0 { // then it does not matter whether the limit is passed
		return Grant{q: q, Length: whole.to - whole.from}, nil
	}
	g, err := q.Reserve(Usage{Bytes: missing})
	g.Length = whole.to - whole.from
	if err == nil || !inPart {
		return g, err
	}
	g = q.reserveSome(missing)
	g.Length = whole.to - whole.from
	for left, i := g.room.Bytes, 0; i < len(gaps); i++ {
		gap := gaps[i]
		if size := q.blocks(gap.from, gap.to); size <= left {
			left -= size
			continue
		}
		g.Length = gap.from + left - whole.from
		break
	}
	return g, nil
}

// AllotCopy is Allot for a copy from another file, which has no more than it has.
func (a *Account) AllotCopy(fd int, offset int64, from int, fromOffset, length int64) (Grant, error) {
	if a == nil {
		return Grant{Length: length}, nil
	}
	st, err := sys.Stat(from)
	if err != nil {
		return Grant{}, err
	}
	return a.Allot(fd, offset, max(0, min(length, st.Size-fromOffset)), true)
}

// AllotFor is Allot for fallocate(2).
func (a *Account) AllotFor(fd int, mode uint32, offset, length int64) (Grant, error) {
	switch {
	case a == nil || mode&unix.FALLOC_FL_INSERT_RANGE != 0: // which only moves what there is
		return Grant{}, nil
	case mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_COLLAPSE_RANGE) != 0:
		return Grant{unlock: a.Shrinking()}, nil
	case mode&unix.FALLOC_FL_KEEP_SIZE != 0 && a.q.ahead: // it may be behind the end
		return Grant{}, unix.EOPNOTSUPP
	}
	return a.Allot(fd, offset, length, false)
}

// ReserveData reserves room for a copy of a file's data, without its holes where there is not enough for all.
func (q *Ledger) ReserveData(fd int, size int64) (Grant, error) {
	if q == nil {
		return Grant{}, nil
	}
	if g, ok := q.reserveNow(Usage{Bytes: q.blocks(0, size)}); ok {
		return g, nil
	}
	all := int64(0)
	for at := int64(0); at < size; {
		start, end, err := filecopy.NextData(fd, at, size)
		if err != nil {
			return Grant{}, err
		}
		all += q.blocks(start, end)
		at = end
	}
	return q.Reserve(Usage{Bytes: all})
}
