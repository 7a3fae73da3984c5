package fusefs

import "time"

const (
	// longSpin and shortSpin bound how long the leader looks for a request before it sleeps. Waking up costs some
	// tens of microseconds; requests that are not a part of a sequence are not worth looking for.
	longSpin  = 120 * time.Microsecond
	shortSpin = 4 * time.Microsecond
	// crowd is how long it takes to make way when others than callers want the processor, and throng how long when they
	// want all of it.
	crowd  = 200 * time.Microsecond
	throng = 500 * time.Microsecond
	// leastRelief and mostRelief bound how long the processor is left to them.
	leastRelief = 10 * time.Millisecond
	mostRelief  = 640 * time.Millisecond
)

// patience decides how long a reader looks for the next request, by how looking has gone before.
// Between tries a leader makes way for other threads, best of all for the caller, which on the same processor then runs,
// and asks, without either of them having to be woken up. Others that take a long turn are a reason not to look for a
// while: who sleeps gets the processor sooner than who made way. Times are as transport.now has them.
type patience struct {
	spin    time.Duration
	relief  time.Duration
	crowded int64 // until when not to look at all
}

// ends tells until when to look, from a time on.
func (p *patience) ends(from int64) int64 {
	if from <= p.crowded {
		return from
	}
	return from + int64(max(p.spin, shortSpin))
}

// madeWay notes how long others took, and whether there was a request afterwards.
func (p *patience) madeWay(from, to int64, found bool) {
	turn := time.Duration(to - from)
	if turn > throng || turn > crowd && !found {
		p.relief = min(max(2*p.relief, leastRelief), mostRelief)
		p.crowded = to + int64(p.relief)
	}
}

// came notes how long a request took to come, and whether it was found without sleeping.
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
