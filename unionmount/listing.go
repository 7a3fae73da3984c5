package unionmount

import (
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// listing is the order in which a directory's names are read. Every name has a position that it keeps, and a cookie
// that stands for it. A reader goes on after a cookie and needs no open directory: it sees every name that was there
// all the time exactly once, whatever is made and removed meanwhile.
//
// A name that comes in gets a position before all others. So a reader that renames or makes entries while it reads
// comes to an end: it meets no name that came in after its first request. At the end of the listing such a reader would
// meet its own names again and again.
//
// It holds the names that some layer has; whether they are to be seen is for a lookup to say.
type listing struct {
	mu     sync.Mutex // guards what follows
	loaded bool
	// read are the names that were found when the listing was loaded, by ascending positions.
	read []slot
	// came are the names that came in since, by descending positions: all before those of read.
	came    []slot
	at      map[string]int // index in read, or the complement of one in came
	removed int            // slots without a name
	// doubtful are names that are not in at but may have a mark in the upper.
	doubtful map[string]bool
	// unread says that no cookie was given out yet: new names then come last, and a listing that was not loaded,
	// because its directory came into being empty, may be given up again.
	unread bool

	// merged is nil before it is made, and replaced but never changed.
	merged atomic.Pointer[merged]
	// asked counts lookups in lowers, of which there are several, as long as the listing is not loaded; price is how
	// many of them justify loading it, 0 before it is known.
	asked, price atomic.Int64
}

// slot is a name with its position. The name of one that was removed is empty.
type slot struct {
	name string
	pos  position
}

// position is a place in the order of a directory, never 0. That of the first name that is read is middle.
type position int64

// middle leaves room for as many names that come in later as a server can live to see.
const middle position = 1 << 62

// The cookies of positions around middle fit into 31 bits, because 32-bit programs refuse others. Cookies that no
// 32-bit program can use are those of the 2^30th name that comes in while the kernel knows the directory, and of later
// ones.
const (
	cookieDot    = 1
	cookieDotDot = 2
	cookieMiddle = 1 << 30
	cookieShort  = 1 << 31 // cookies below it are relative to middle
)

// cookie returns what stands for a position outside.
func (p position) cookie() uint64 {
	if short := p - middle + cookieMiddle; short > cookieDotDot && short < cookieShort {
		return uint64(short)
	}
	return uint64(p)
}

// positionOf returns the position that a cookie stands for; 0 of one before all names.
func positionOf(cookie uint64) position {
	switch {
	case cookie <= cookieDotDot:
		return 0
	case cookie < cookieShort:
		return position(cookie) + middle - cookieMiddle
	}
	return position(min(cookie, math.MaxInt64))
}

// add takes in a new name. A listing that is not loaded yet will find it.
func (l *listing) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded {
		return
	}
	if l.unread {
		l.readLocked(name)
		return
	}
	if l.isNewLocked(name) {
		l.at[name] = ^len(l.came)
		l.came = append(l.came, slot{name, l.firstLocked() - 1})
	}
}

// isNewLocked tells whether a name that is about to come in is not there yet.
func (l *listing) isNewLocked(name string) bool {
	_, known := l.at[name]
	delete(l.doubtful, name)
	return !known
}

// firstLocked returns the position that no name is before.
func (l *listing) firstLocked() position {
	if n := len(l.came); n > 0 {
		return l.came[n-1].pos
	}
	return middle
}

// readLocked takes in a name after all others, as long as no reader can be behind them.
func (l *listing) readLocked(name string) {
	if !l.isNewLocked(name) {
		return
	}
	if l.unread && len(l.at) == mostUnread {
		l.loaded, l.at, l.read, l.doubtful = false, nil, nil, nil
		return
	}
	pos := middle
	if n := len(l.read); n > 0 {
		pos = l.read[n-1].pos + 1
	}
	l.at[name] = len(l.read)
	l.read = append(l.read, slot{name, pos})
}

// mostUnread is how many names are kept of a directory that nobody has listed.
const mostUnread = 4096

// startEmpty loads the listing of a directory that has just been made.
func (l *listing) startEmpty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = map[string]int{}
	l.loaded, l.unread = true, true
}

// lacks tells whether it is known that no layer has anything at a name, not even a mark in the upper.
func (l *listing) lacks(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded || l.doubtful[name] {
		return false
	}
	_, ok := l.at[name]
	return !ok
}

// doubt notes that the upper may have something at a name, whatever the listing says.
func (l *listing) doubt(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubtLocked(name)
}

func (l *listing) doubtLocked(name string) {
	if !l.loaded {
		return
	}
	if l.doubtful == nil {
		l.doubtful = map[string]bool{}
	}
	l.doubtful[name] = true
}

// remove takes a name out, which left a mark in the upper or did not. The same name made anew is a new entry.
func (l *listing) remove(name string, marked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if marked {
		l.doubtLocked(name)
	}
	i, ok := l.at[name]
	if !ok {
		return
	}
	delete(l.at, name)
	if i < 0 {
		l.came[^i].name = ""
	} else {
		l.read[i].name = ""
	}
	l.removed++
	if l.removed > 64 && l.removed > (len(l.read)+len(l.came))/2 {
		l.compactLocked()
	}
}

// compactLocked drops the slots without a name, but for the first one: no position is used twice.
func (l *listing) compactLocked() {
	first := l.firstLocked()
	isFree := func(s slot) bool { return s.name == "" && s.pos != first }
	l.read, l.came = slices.DeleteFunc(l.read, isFree), slices.DeleteFunc(l.came, isFree)
	l.removed = 0
	for i, s := range l.read {
		l.at[s.name] = i
	}
	for i, s := range l.came {
		l.at[s.name] = ^i
	}
	delete(l.at, "") // of the first slot
}

// after returns up to max entries that follow a position.
func (l *listing) after(pos position, max int) []slot {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []slot
	take := func(s slot) bool {
		if s.name != "" {
			found = append(found, s)
		}
		return len(found) < max
	}
	next := sort.Search(len(l.came), func(i int) bool { return l.came[i].pos <= pos })
	for _, s := range slices.Backward(l.came[:next]) {
		if !take(s) {
			return found
		}
	}
	next = sort.Search(len(l.read), func(i int) bool { return l.read[i].pos > pos })
	for _, s := range l.read[next:] {
		if !take(s) {
			return found
		}
	}
	return found
}
