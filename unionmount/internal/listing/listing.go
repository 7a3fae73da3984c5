package listing

import (
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// Listing is the order in which a directory's names are read. Every name has a position that it keeps, and a cookie
// that stands for it. A reader goes on after a cookie and needs no open directory: it sees every name that was there
// all the time exactly once, whatever is made and removed meanwhile.
//
// A name that comes in gets a position before all others. So a reader that renames or makes entries while it reads
// comes to an end: it meets no name that came in after its first request. At the end of the listing such a reader would
// meet its own names again and again.
//
// It holds the names that some layer has; whether they are to be seen is for a lookup to say.
type Listing struct {
	mu     sync.Mutex // guards what follows
	loaded bool
	// read are the names that were found when the listing was loaded, by ascending positions.
	read []Entry
	// came are the names that came in since, by descending positions: all before those of read.
	came    []Entry
	at      map[string]int // index in read, or the complement of one in came
	removed int            // slots without a name
	// doubtful are names that are not in at but may have a mark in the upper.
	doubtful map[string]bool
	// unread says that no cookie was given out yet: new names then come last, and a listing that was not loaded,
	// because its directory came into being empty, may be given up again.
	unread bool

	// Index is nil before it is made, and replaced but never changed.
	Index atomic.Pointer[NameIndex]
	// asked counts lookups in lowers, of which there are several, as long as the listing is not loaded. price is the
	// number of lookups that justify loading it, 0 before it is known.
	asked, price atomic.Int64
}

// Load fills a listing that is not loaded yet with the names for which read calls its argument. marks are names at
// which the upper may have a mark.
func (l *Listing) Load(read func(add func(name string)) (marks []string, err error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unread = false
	if l.loaded {
		return nil
	}
	l.at, l.read = map[string]int{}, nil
	marks, err := read(l.readLocked)
	if err != nil {
		return err
	}
	l.loaded = true
	for _, name := range marks {
		l.doubtLocked(name)
	}
	return nil
}

// IsLoaded tells whether the listing is loaded.
func (l *Listing) IsLoaded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded
}

// Pays counts lookups, and tells whether loading the listing takes no more time than all that were counted. least is
// the number of lookups below which that is not the question, price what returns the number that takes the same time.
func (l *Listing) Pays(lookups, least int64, price func() int64) bool {
	asked := l.asked.Add(lookups)
	if asked < least {
		return false
	}
	if l.price.Load() == 0 {
		l.price.Store(price())
	}
	return asked >= l.price.Load()
}

// NeverPays notes that the listing cannot be loaded.
func (l *Listing) NeverPays() { l.price.Store(math.MaxInt64) }

// OfferIndex takes x as the index of the names, unless there is one, and returns the one that there is now.
func (l *Listing) OfferIndex(x *NameIndex) *NameIndex {
	if !l.Index.CompareAndSwap(nil, x) {
		return l.Index.Load()
	}
	return x
}

// Entry is a name with its position. The name of one that was removed is empty.
type Entry struct {
	Name string
	Pos  Position
}

// Position is a place in the order of a directory, never 0. That of the first name that is read is middle.
type Position int64

// middle leaves room for as many names that come in later as a server can live to see.
const middle Position = 1 << 62

// The cookies of positions around middle fit into 31 bits, because 32-bit programs refuse others. Cookies that no
// 32-bit program can use are those of the 2^30th name that comes in while the kernel knows the directory, and of later
// ones.
const (
	CookieDot    = 1
	CookieDotDot = 2
	cookieMiddle = 1 << 30
	cookieShort  = 1 << 31 // cookies below it are relative to middle
)

// Cookie returns what stands for a position outside.
func (p Position) Cookie() uint64 {
	if short := p - middle + cookieMiddle; short > CookieDotDot && short < cookieShort {
		return uint64(short)
	}
	return uint64(p)
}

// PositionOf returns the position that a cookie stands for; 0 of one before all names.
func PositionOf(cookie uint64) Position {
	switch {
	case cookie <= CookieDotDot:
		return 0
	case cookie < cookieShort:
		return Position(cookie) + middle - cookieMiddle
	}
	return Position(min(cookie, math.MaxInt64))
}

// Add takes in a new name. A listing that is not loaded yet will find it.
func (l *Listing) Add(name string) {
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
		l.came = append(l.came, Entry{name, l.firstLocked() - 1})
	}
}

// isNewLocked tells whether a name that is about to come in is not there yet.
func (l *Listing) isNewLocked(name string) bool {
	_, known := l.at[name]
	delete(l.doubtful, name)
	return !known
}

// firstLocked returns the position that no name is before.
func (l *Listing) firstLocked() Position {
	if n := len(l.came); n > 0 {
		return l.came[n-1].Pos
	}
	return middle
}

// readLocked takes in a name after all others, as long as no reader can be behind them.
func (l *Listing) readLocked(name string) {
	if !l.isNewLocked(name) {
		return
	}
	if l.unread && len(l.at) == MostUnread {
		l.loaded, l.at, l.read, l.doubtful = false, nil, nil, nil
		return
	}
	pos := middle
	if n := len(l.read); n > 0 {
		pos = l.read[n-1].Pos + 1
	}
	l.at[name] = len(l.read)
	l.read = append(l.read, Entry{name, pos})
}

// MostUnread is how many names are kept of a directory that nobody has listed.
const MostUnread = 4096

// StartEmpty loads the listing of a directory that has just been made.
func (l *Listing) StartEmpty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = map[string]int{}
	l.loaded, l.unread = true, true
}

// Lacks tells whether it is known that no layer has anything at a name, not even a mark in the upper.
func (l *Listing) Lacks(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded || l.doubtful[name] {
		return false
	}
	_, ok := l.at[name]
	return !ok
}

// Doubt notes that the upper may have something at a name, whatever the listing says.
func (l *Listing) Doubt(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubtLocked(name)
}

func (l *Listing) doubtLocked(name string) {
	if !l.loaded {
		return
	}
	if l.doubtful == nil {
		l.doubtful = map[string]bool{}
	}
	l.doubtful[name] = true
}

// Remove takes a name out, which left a mark in the upper or did not. The same name made anew is a new entry.
func (l *Listing) Remove(name string, marked bool) {
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
		l.came[^i].Name = ""
	} else {
		l.read[i].Name = ""
	}
	l.removed++
	if l.removed > 64 && l.removed > (len(l.read)+len(l.came))/2 {
		l.compactLocked()
	}
}

// compactLocked drops the slots without a name, but for the first one: no position is used twice.
func (l *Listing) compactLocked() {
	first := l.firstLocked()
	isFree := func(s Entry) bool { return s.Name == "" && s.Pos != first }
	l.read, l.came = slices.DeleteFunc(l.read, isFree), slices.DeleteFunc(l.came, isFree)
	l.removed = 0
	for i, s := range l.read {
		l.at[s.Name] = i
	}
	for i, s := range l.came {
		l.at[s.Name] = ^i
	}
	delete(l.at, "") // of the first slot
}

// After returns up to max entries that follow a position.
func (l *Listing) After(pos Position, max int) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Entry
	take := func(s Entry) bool {
		if s.Name != "" {
			found = append(found, s)
		}
		return len(found) < max
	}
	next := sort.Search(len(l.came), func(i int) bool { return l.came[i].Pos <= pos })
	for _, s := range slices.Backward(l.came[:next]) {
		if !take(s) {
			return found
		}
	}
	next = sort.Search(len(l.read), func(i int) bool { return l.read[i].Pos > pos })
	for _, s := range l.read[next:] {
		if !take(s) {
			return found
		}
	}
	return found
}
