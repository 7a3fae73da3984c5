package quota

// Grant is room that one change has been promised. It is given back when the change is settled, or by Release.
type Grant struct {
	// Length, of a change of data, is for how many of its bytes there is room.
	Length int64

	q      *Ledger // nil where nothing is limited
	room   Usage
	unlock func() // lets blocks be given back that the change relies on; may be nil
}

// Release gives back what was promised and is not settled.
func (g *Grant) Release() {
	if g.q == nil {
		return
	}
	g.q.mu.Lock()
	defer g.q.mu.Unlock()
	g.takeBackLocked()
	g.q.signalLocked()
}

func (g *Grant) takeBackLocked() {
	if g.q != nil {
		g.q.promised = g.q.promised.Minus(g.room)
		g.room = Usage{}
	}
	if g.unlock != nil {
		g.unlock()
		g.unlock = nil
	}
}
