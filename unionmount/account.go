package unionmount

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// account is what a node was charged for its file in the upper. A node has one where there is a quota. Methods of a nil
// account do nothing.
type account struct {
	q *quota

	// holes is held for reading by a change of data that relies on blocks being allocated, and for writing by what gives
	// blocks back.
	holes sync.RWMutex

	mu      sync.Mutex // guards what follows
	known   bool       // charged is known: of what the upper has had before, from the first time that it is opened
	charged usage
	leaving bool // the file has no name any more, and goes with the node
}

// newAccount opens the account of a node that was found as o.
func (u *Union) newAccount(o *object) *account {
	if u.quota == nil {
		return nil
	}
	return &account{q: u.quota, known: o.made || !o.inUpper}
}

// usageOf returns what a file takes.
func usageOf(st *unix.Stat_t) usage { return usage{st.Blocks * 512, 1} }

// found notes what the file behind fd takes, the node's, that was charged before the node was there.
func (a *account) found(fd int, st *unix.Stat_t) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known {
		a.known, a.charged = true, a.q.takes(fd, st)
	}
}

// settle charges a node what its file in the upper, or the draft of it, takes now, in place of what was promised. It
// follows every change, however that ended. fd is of the file.
func (u *Union) settle(n *Node, fd int, g *grant) {
	if u.quota == nil {
		return
	}
	a := n.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if u.quota.beforeLook != nil {
		u.quota.beforeLook(fd)
	}
	st, err := statFD(fd)
	if err != nil { // which an open file has no reason for; the next change settles this one, too
		g.release()
		return
	}
	leaving := st.Nlink == 0
	if n.isDir() {
		leaving = n.dead.Load()
	}
	a.setHeld(u.quota.takes(fd, &st), leaving, g)
}

// setHeld notes what a node is charged. a.mu is held.
func (a *account) setHeld(now usage, leaving bool, g *grant) {
	if !a.known {
		a.known, a.charged = true, now
	}
	q := a.q
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(now.minus(a.charged))
	if a.leaving {
		q.leaving = q.leaving.minus(a.charged)
	}
	if leaving {
		q.leaving = q.leaving.plus(now)
	}
	if leaving && !a.leaving {
		q.left = time.Now()
	}
	a.charged, a.leaving = now, leaving
	g.takeBackLocked()
	q.signalLocked()
}

// settleAll settles nodes that are in the upper; nil ones do not count.
func (u *Union) settleAll(nodes ...*Node) {
	if u.quota == nil {
		return
	}
	for _, n := range nodes {
		if n == nil || !n.inUpper.Load() {
			continue
		}
		if h, err := u.backing(n, slotUpper); err == nil { // else the next change settles this one, too
			u.settle(n, h.fd, &grant{})
			u.fds.release(h)
		}
	}
}

// close ends the account of a node that is given up.
func (a *account) close() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaving {
		a.setHeld(usage{}, false, &grant{})
	}
}

// abandon takes back what a copy was charged that was not made to the end.
func (a *account) abandon() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setHeld(usage{}, false, &grant{})
}

// leaveBehind lets the file of a node go on to be charged, to nobody, while the node gets another.
func (a *account) leaveBehind() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.charged = usage{}
}

// shrinking keeps changes of data from relying on blocks that are about to be given back, until unlock.
func (a *account) shrinking() (unlock func()) {
	if a == nil {
		return func() {}
	}
	a.holes.Lock()
	return a.holes.Unlock
}

// chargeFile charges, to nobody, a file that no node is made of.
func (u *Union) chargeFile(fd int) {
	if u.quota == nil {
		return
	}
	if st, err := statFD(fd); err == nil {
		u.quota.charge(usageOf(&st))
	}
}

// reserveCopy reserves room for a copy, but for its data. Nobody is refused one who removes something.
func (u *Union) reserveCopy(want content) (grant, error) {
	if want == contentToRemove {
		return grant{}, nil
	}
	return u.quota.entry()
}

// settleCopy settles n after a copy of it was made to the name at, or not.
func (u *Union) settleCopy(n *Node, at *link) {
	if !n.inUpper.Load() {
		n.account.abandon()
		return
	}
	u.settleAll(n)
	if at != nil {
		u.settleAll(at.parent)
	}
}
