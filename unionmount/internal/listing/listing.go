package listing

import (
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// Listing is the order in which the names of a directory are read. Every name has a position, which it keeps, and a
// cookie that stands for the position. A reader goes on after a cookie. It sees every name that was there all the
// time exactly once, whatever is made and removed meanwhile.
//
// A new name gets a position before all others. So a reader that renames or makes entries while it reads comes to an
// end, because it meets no name that was added after its first request. If new names came last, such a reader would
// meet its own names again and again.
//
// It holds the names that some layer has. A lookup decides whether a name shows.
type Listing struct {
	mu     sync.Mutex // guards what follows
	loaded bool
	// read are the names that were found when the listing was loaded, in the order of their positions.
	read []Entry
	// came are the names that were added since, in the reverse order of their positions. All come before those in
	// read.
	came    []Entry
	at      map[string]int // index in read, or the complement of an index in came
	removed int            // entries without a name
	// doubtful are names that are not in at but may have a mark in the upper.
	doubtful map[string]bool
	// unread says that no cookie was given out yet. Then new names come last, and the listing of a new directory,
	// which was never read from disk, may be given up again.
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

// Pays counts lookups, and tells whether loading the listing takes no more time than all lookups so far. Fewer than
// least never pay. price returns the number of lookups that take the same time; it is called once.
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

// Entry is a name with its position. The name of a removed entry is empty.
type Entry struct {
	Name string
	Pos  Position
}

// Position is a place in the order of a directory, never 0. The first name that is read has the position middle.
type Position int64

// middle leaves room for more new names than a server can ever see.
const middle Position = 1 << 62

// The cookies of positions around middle fit into 31 bits, because 32-bit programs refuse others. Only the 2^30th
// name that is added while the kernel knows the directory, and later ones, have larger cookies.
const (
	CookieDot    = 1
	CookieDotDot = 2
	cookieMiddle = 1 << 30
	cookieShort  = 1 << 31 // cookies below it are relative to middle
)

// Cookie returns the cookie of a position.
func (p Position) Cookie() uint64 {
	if short := p - middle + cookieMiddle; short > CookieDotDot && short < cookieShort {
		return uint64(short)
	}
	return uint64(p)
}

// PositionOf returns the position that a cookie stands for; 0 for the cookies before all names.
func PositionOf(cookie uint64) Position {
	switch {
	case cookie <= CookieDotDot:
		return 0
	case cookie < cookieShort:
		return Position(cookie) + middle - cookieMiddle
	}
	return Position(min(cookie, math.MaxInt64))
}

// Add adds a new name. A listing that is not loaded yet will find it.
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

// isNewLocked tells whether a name that is about to be added is not there yet.
func (l *Listing) isNewLocked(name string) bool {
	_, known := l.at[name]
	delete(l.doubtful, name)
	return !known
}

// firstLocked returns the first position in use.
func (l *Listing) firstLocked() Position {
	if n := len(l.came); n > 0 {
		return l.came[n-1].Pos
	}
	return middle
}

// readLocked adds a name after all others, which is right as long as no reader can be past them.
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

// MostUnread bounds the names that are kept of a directory that was not listed yet.
const MostUnread = 4096

// StartEmpty makes the listing of a new directory: it is loaded, and empty.
func (l *Listing) StartEmpty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = map[string]int{}
	l.loaded, l.unread = true, true
}

// Lacks tells whether it is known that no layer has anything at a name, and the upper not even a mark.
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

// Remove removes a name. marked says that it left a mark in the upper. If the name is made again, it is a new entry.
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

// compactLocked drops the entries without a name, except the first one, because no position may be used twice.
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
	delete(l.at, "") // of the first entry
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
