package unionmount

import "math"

// merged knows which lowers have which names of a directory, so that the cost of a lookup does not depend on the number
// of layers. It is made of what the indexes of the layers hold, at the first lookup in a directory of many layers; or,
// when a directory is listed, of all its names.
type merged struct {
	from int            // the lower, by index, from which on this tells
	left int            // one of them that it leaves out and that is to be asked itself; or -1
	head map[string]int // by name, the first of its hops
	hops []hop          // the first is none
}

// hop is a lower that has a name, or a whiteout file for it.
type hop struct {
	slot int
	next int // the hop to the next one; 0 if this is the last
}

// newMerged returns a table of lowers, the names in which are given by index, from the given one on.
func newMerged(from int, names [][]string) *merged {
	m := &merged{from: from, left: -1, head: map[string]int{}, hops: make([]hop, 1)}
	for slot := len(names) - 1; slot >= from; slot-- {
		for _, name := range names[slot] {
			if head := m.head[name]; m.hops[head].slot != slot || head == 0 { // a name and its whiteout file are one
				m.hops = append(m.hops, hop{slot, head})
				m.head[name] = len(m.hops) - 1
			}
		}
	}
	return m
}

// way leads through the lowers that have a name.
type way struct {
	*merged // nil if it is not known which
	hop     int
}

const never = math.MaxInt

// next returns the first lower, not before slot, that has to be asked; never if there is none. slot may not decrease.
func (w *way) next(slot int) int {
	if w.merged == nil || slot < w.from {
		return slot
	}
	for w.hop != 0 && w.hops[w.hop].slot < slot {
		w.hop = w.hops[w.hop].next
	}
	next := never
	if w.hop != 0 {
		next = w.hops[w.hop].slot
	}
	if w.left >= slot {
		next = min(next, w.left)
	}
	return next
}

// wayTo returns the way to a name in n.
func (n *Node) wayTo(name string) way {
	m := n.mergedNames()
	if m == nil {
		return way{}
	}
	return way{m, m.head[name]}
}

// mergeAtOnce is the number of layers from which on to make a table takes less time than to ask each of them for a few
// names.
const mergeAtOnce = 4

// mergedNames returns the table of a directory; nil if there is none.
func (n *Node) mergedNames() *merged {
	if !n.isDir() || len(n.lowers) < 2 {
		return nil
	}
	m := n.listing.merged.Load()
	if m == nil && len(n.lowers) >= mergeAtOnce {
		if m = n.mergeIndexes(); m != nil && !n.listing.merged.CompareAndSwap(nil, m) {
			m = n.listing.merged.Load()
		}
	}
	return m
}

// mergeIndexes makes a table of the lowers from the one on from which all have indexes. It leaves out that with most
// entries: such a table would take more memory, and time to make it, than one search in it costs.
func (n *Node) mergeIndexes() *merged {
	from, left := len(n.lowers), -1
	for from > 0 && n.lowers[from-1].dir.Known() {
		from--
		if left < 0 || n.lowers[from].dir.Len() > n.lowers[left].dir.Len() {
			left = from
		}
	}
	if len(n.lowers)-from < mergeAtOnce {
		return nil
	}
	names := make([][]string, len(n.lowers))
	for slot := from; slot < len(n.lowers); slot++ {
		if slot == left {
			continue
		}
		err := n.lowers[slot].dir.Names(func(name string) { names[slot] = append(names[slot], name) })
		if err != nil {
			return nil // to be met again by whoever looks there
		}
	}
	m := newMerged(from, names)
	m.left = left
	return m
}
