package listing

import "math"

// NameIndex knows which lowers have which names of a directory, so that the cost of a lookup does not depend on the
// number of layers. It is made of the indexes of the layers at the first lookup in a directory of many layers, or of
// all names when a directory is listed.
type NameIndex struct {
	From    int            // the first lower that it covers; it covers all that follow
	left    int            // a lower that it leaves out, which must be asked itself; -1 for none
	head    map[string]int // by name, the first of its holders
	holders []holder       // the first is none
}

// holder says that a lower has a name, or a whiteout file for it.
type holder struct {
	lower int
	next  int // the holder of the name in the next lower; 0 if this is the last
}

// NewNameIndex returns an index of the lowers from one on, except the one left out, given the names in each.
func NewNameIndex(from, left int, names [][]string) *NameIndex {
	x := &NameIndex{From: from, left: left, head: map[string]int{}, holders: make([]holder, 1)}
	for lower := len(names) - 1; lower >= from; lower-- {
		for _, name := range names[lower] {
			// A name and its whiteout file are one.
			if head := x.head[name]; x.holders[head].lower != lower || head == 0 {
				x.holders = append(x.holders, holder{lower, head})
				x.head[name] = len(x.holders) - 1
			}
		}
	}
	return x
}

// candidates are the lowers that may have a name.
type candidates struct {
	*NameIndex // nil if all may
	at         int
}

// never is the number of no lower.
const never = math.MaxInt

// Candidates returns the lowers that may have a name. For a nil index these are all lowers.
func (x *NameIndex) Candidates(name string) candidates {
	if x == nil {
		return candidates{}
	}
	return candidates{x, x.head[name]}
}

// Next returns the first lower from the given one on that must be asked, or never. The given lower may not decrease
// from call to call.
func (c *candidates) Next(lower int) int {
	if c.NameIndex == nil || lower < c.From {
		return lower
	}
	for c.at != 0 && c.holders[c.at].lower < lower {
		c.at = c.holders[c.at].next
	}
	next := never
	if c.at != 0 {
		next = c.holders[c.at].lower
	}
	if c.left >= lower {
		next = min(next, c.left)
	}
	return next
}
