package fusefs

import "time"

const (
	// longSpin and shortSpin bound how long the leader looks for a request before it sleeps. Waking up costs some
	// tens of microseconds. Looking does not pay for requests that are not part of a sequence.
	longSpin  = 120 * time.Microsecond
	shortSpin = 4 * time.Microsecond
	// A turn of other threads that takes longer than idleTurn and brings no request shows that threads other than
	// callers want the processor. One longer than busyTurn shows that they want all of it.
	idleTurn = 200 * time.Microsecond
	busyTurn = 500 * time.Microsecond
	// leastRelief and mostRelief bound how long the leader leaves the processor to them.
	leastRelief = 10 * time.Millisecond
	mostRelief  = 640 * time.Millisecond
)

// patience decides how long a reader looks for the next request, by how often looking has paid before. Between tries
// the leader yields the processor to other threads. At best this is the caller on the same processor, which then runs
// and sends a request, and neither thread has to be woken up. If other threads take a long turn, the leader does not
// look for a while, because a thread that sleeps gets the processor sooner than one that has yielded it. Times are as
// in transport.now.
type patience struct {
	spin    time.Duration
	relief  time.Duration
	crowded int64 // the leader does not look at all before this time
}

// ends returns the time until which a reader looks that begins at from.
func (p *patience) ends(from int64) int64 {
	if from <= p.crowded {
		return from
	}
	return from + int64(max(p.spin, shortSpin))
}

// madeWay notes the turn of other threads after the leader yielded, and whether there was a request afterwards.
func (p *patience) madeWay(from, to int64, found bool) {
	turn := time.Duration(to - from)
	if turn > busyTurn || turn > idleTurn && !found {
		p.relief = min(max(2*p.relief, leastRelief), mostRelief)
		p.crowded = to + int64(p.relief)
	}
}

// came notes how long a reader waited for a request, and whether it found the request without sleeping.
func (p *patience) came(waited time.Duration, found bool) {
	switch {
	case waited < longSpin && found:
		p.spin, p.relief = longSpin, 0
	case waited < longSpin:
		p.spin = longSpin
	case !found:
		p.spin = max(p.spin/2, shortSpin)
	}
}
