package unionmount

import (
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

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
	return u.readBacking(n, slot, func(_ int, e beneath.Entry) { f(e.Name) })
}

// readBacking calls f with the entries of the directory that one layer has on disk for n, and its descriptor.
func (u *Union) readBacking(n *Node, slot int, f func(dir int, e beneath.Entry)) error {
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
	return beneath.ReadDir(fd, func(e beneath.Entry) { f(h.fd, e) })
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
