package quota

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// File is the file that an Account is of.
type File interface {
	// Gone tells whether the file has no name any more. links is its link count on disk.
	Gone(links uint64) bool
}

// Account is what one file in the upper was charged.
type Account struct {
	q    *Ledger
	file File

	// holes is held for reading by a change of data that relies on blocks being allocated, and for writing by what
	// gives blocks back.
	holes sync.RWMutex

	mu      sync.Mutex // guards what follows
	known   bool       // charged is known: of a file that was in the upper before, from when it is first opened
	charged Usage
	leaving bool // the file has no name any more, and goes with the account
}

// Open opens the account of a file. A new file was charged nothing; what another was charged is known after Found.
func (q *Ledger) Open(file File, isNew bool) *Account {
	if q == nil {
		return nil
	}
	return &Account{q: q, file: file, known: isNew}
}

// Found notes what the file behind fd was charged before the account was opened: what it takes.
func (a *Account) Found(fd int, st *unix.Stat_t) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known {
		a.known, a.charged = true, a.q.Takes(fd, st)
	}
}

// Settle charges what the file behind fd takes now, in place of what was promised. It follows every change, however
// that ended.
func (a *Account) Settle(fd int, g *Grant) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.q.BeforeLook != nil {
		a.q.BeforeLook(fd)
	}
	st, err := sys.Stat(fd)
	if err != nil { // which an open file has no reason for; the next change settles this one, too
		g.Release()
		return
	}
	a.setHeld(a.q.Takes(fd, &st), a.file.Gone(uint64(st.Nlink)), g)
}

// setHeld notes what the file is charged.
func (a *Account) setHeld(now Usage, leaving bool, g *Grant) {
	if !a.known {
		a.known, a.charged = true, now
	}
	q := a.q
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(now.Minus(a.charged))
	if a.leaving {
		q.leaving = q.leaving.Minus(a.charged)
	}
	if leaving {
		q.leaving = q.leaving.Plus(now)
	}
	if leaving && !a.leaving {
		q.left = time.Now()
	}
	a.charged, a.leaving = now, leaving
	g.takeBackLocked()
	q.signalLocked()
}

// Close ends the account: a file without a name is gone.
func (a *Account) Close() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaving {
		a.setHeld(Usage{}, false, &Grant{})
	}
}

// Abandon takes back what a file was charged that was not made to the end.
func (a *Account) Abandon() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setHeld(Usage{}, false, &Grant{})
}

// LeaveBehind goes on charging the file, but to no account, because another file takes its place.
func (a *Account) LeaveBehind() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.charged = Usage{}
}

// Shrinking keeps changes of data from relying on blocks that are about to be given back, until unlock.
func (a *Account) Shrinking() (unlock func()) {
	if a == nil {
		return func() {}
	}
	a.holes.Lock()
	return a.holes.Unlock
}
