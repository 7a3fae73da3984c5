package unionmount

import (
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// listing is the order in which a directory's names are read. Every name has a position that it keeps, and a cookie that
// stands for it. A reader goes on after a cookie and needs no open directory: it sees every name that was there all the
// time exactly once, whatever is made and removed meanwhile.
//
// A name that comes in gets a position before all others. So a reader that renames or makes entries while it reads comes
// to an end: it meets no name that came in after its first request. At the end of the listing such a reader would meet
// its own names again and again.
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
	// unread says that no cookie was given out yet: new names then come last, and a listing that was not loaded, because
	// its directory came into being empty, may be given up again.
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

// The cookies of positions around middle fit into 31 bits, because 32-bit programs refuse others. Cookies that no 32-bit
// program can use are those of the 2^30th name that comes in while the kernel knows the directory, and of later ones.
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

const (
	// namesPerLookup is how many names of a directory are read in the time in which one is asked for.
	namesPerLookup = 16
	// smallDirectory is a size in bytes that directories have even when they are empty.
	smallDirectory = 4096
	// bytesPerName is about what a name takes of the size of a directory.
	bytesPerName = 32
	// fewLookups per lower are not worth opening it for.
	fewLookups = 4
)

// loadWhenPaid loads the listing of a directory with several lowers once as much has been spent on asking each of them
// for names: so that a lookup costs the same through many layers as through one, and a directory of a million names is
// not read for the sake of a few. That it cannot be loaded costs time, and nothing else. Entries of n are held.
func (u *Union) loadWhenPaid(n *Node) {
	if !n.isDir() || len(n.lowers) < 2 || !n.asksDisk() {
		return
	}
	l := n.listing
	asked := l.asked.Add(int64(len(n.lowers)))
	if asked < int64(fewLookups*len(n.lowers)) {
		return
	}
	if l.price.Load() == 0 {
		l.price.Store(u.priceOf(n))
	}
	if asked >= l.price.Load() && u.load(n) != nil {
		l.price.Store(math.MaxInt64)
	}
}

// asksDisk tells whether a lookup has to ask a lower of which it is not known whether it has the name.
func (n *Node) asksDisk() bool {
	if m := n.listing.merged.Load(); m != nil && m.from == 0 {
		return false
	}
	return slices.ContainsFunc(n.lowers, func(p place) bool { return !p.dir.Known() })
}

// priceOf returns how many lookups take as long as loading the listing of n.
func (u *Union) priceOf(n *Node) int64 {
	var size int64
	for slot, p := range n.lowers {
		if p.dir.Known() {
			size += bytesPerName * int64(p.dir.Len())
			continue
		}
		h, err := u.backing(n, slot)
		if err != nil {
			return math.MaxInt64
		}
		st, err := statFD(h.fd)
		u.fds.release(h)
		if err != nil {
			return math.MaxInt64
		}
		size += max(0, st.Size-smallDirectory)
	}
	return max(1, size/bytesPerName/namesPerLookup)
}

// load reads the names of all layers of n, once. Entries of n are held.
func (u *Union) load(n *Node) error {
	l := n.listing
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unread = false
	if l.loaded {
		return nil
	}
	l.at, l.read = map[string]int{}, nil
	var marks []string
	lowers := make([][]string, len(n.lowers)) // the names that a lookup has to ask each for
	for slot := n.firstSlot(); slot < n.layers(); slot++ {
		err := u.readNames(n, slot, func(name string) {
			of, reserved := strings.CutPrefix(name, layerfmt.WhiteoutPrefix)
			if !reserved {
				l.readLocked(name)
			} else if slot == slotUpper {
				marks = append(marks, of)
			}
			if slot >= 0 && len(n.lowers) > 1 {
				lowers[slot] = append(lowers[slot], of)
			}
		})
		if err != nil {
			return n.fault("list", err)
		}
	}
	l.loaded = true
	for _, name := range marks {
		l.doubtLocked(name)
	}
	if len(n.lowers) > 1 {
		l.merged.Store(newMerged(0, lowers))
	}
	return nil
}

// readNames calls f with the names that one layer has in n.
func (u *Union) readNames(n *Node, slot int, f func(name string)) error {
	if slot >= 0 && n.lowers[slot].dir.Known() {
		return n.lowers[slot].dir.Names(f)
	}
	h, err := u.backing(n, slot)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	fd, err := openQuietly(h.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return beneath.ReadDir(fd, func(e beneath.Entry) { f(e.Name) })
}

// names returns all names that some layer has in n. Entries of n are held.
func (u *Union) names(n *Node) ([]string, error) {
	if err := u.load(n); err != nil {
		return nil, err
	}
	var names []string
	for _, s := range n.listing.after(0, int(^uint(0)>>1)) {
		names = append(names, s.name)
	}
	return names, nil
}

// Dirent is an entry of a directory.
type Dirent struct {
	Name   string
	Cookie uint64 // where Readdir goes on after this entry
	Node   *Node  // nil for "." and ".."; else looked up once more, to be taken back by Forget
	Attr   Attr   // of "." and "..", only Ino and Mode
}

// Readdir calls emit with the entries of a directory that follow a cookie, which is 0 or was in a Dirent of the same
// directory, until emit returns false: that entry is not taken, and its lookup is taken back.
func (u *Union) Readdir(n *Node, cookie uint64, emit func(*Dirent) bool) error {
	if !n.isDir() {
		return unix.ENOTDIR
	}
	n.entries.RLock()
	defer n.entries.RUnlock()
	if n.dead.Load() {
		return nil
	}
	if err := u.load(n); err != nil {
		return err
	}
	if cookie == 0 {
		u.wasListed(n)
	}
	if !u.emitDots(n, cookie, emit) {
		return nil
	}
	const batch = 128
	for pos := positionOf(cookie); ; {
		slots := n.listing.after(pos, batch)
		for _, s := range slots {
			more, err := u.emitEntry(n, s, emit)
			if err != nil || !more {
				return err
			}
		}
		if len(slots) < batch {
			return nil
		}
		pos = slots[len(slots)-1].pos
	}
}

func (u *Union) emitDots(n *Node, cookie uint64, emit func(*Dirent) bool) bool {
	if cookie < cookieDot && !emit(&Dirent{Name: ".", Cookie: cookieDot, Attr: Attr{Ino: n.ino, Mode: unix.S_IFDIR}}) {
		return false
	}
	if cookie >= cookieDotDot {
		return true
	}
	parent := n
	if l, named := u.anyLink(n); named {
		parent = l.parent
	}
	return emit(&Dirent{Name: "..", Cookie: cookieDotDot, Attr: Attr{Ino: parent.ino, Mode: unix.S_IFDIR}})
}

// emitEntry emits a name if it is to be seen. An entry that cannot be examined must not spoil the listing: it is
// passed over, and looking it up will tell why.
func (u *Union) emitEntry(n *Node, s slot, emit func(*Dirent) bool) (more bool, err error) {
	child, a, err := u.lookupHeld(n, s.name)
	if isNotExist(err) {
		n.listing.remove(s.name, true)
		return true, nil
	}
	if err != nil {
		return true, nil
	}
	if !emit(&Dirent{Name: s.name, Cookie: s.pos.cookie(), Node: child, Attr: a}) {
		u.Forget(child, 1)
		return false, nil
	}
	return true, nil
}
