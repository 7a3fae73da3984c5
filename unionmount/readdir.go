package unionmount

import (
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/listing"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

const (
	// namesPerLookup is the number of names that are read in the time that one lookup takes.
	namesPerLookup = 16
	// smallDirectory is the size in bytes of an empty directory.
	smallDirectory = 4096
	// bytesPerName is about the number of bytes that a name adds to the size of a directory.
	bytesPerName = 32
	// fewLookups is the number of lookups per lower that do not pay for opening it.
	fewLookups = 4
)

// loadWhenPaid loads the listing of a directory with several lowers once lookups in each of them have taken as long
// as loading takes. After that a lookup costs the same through many layers as through one, and a directory of a
// million names is not read for a few lookups. If loading fails, lookups go on without. Entries of n are held.
func (u *Union) loadWhenPaid(n *Node) {
	if !n.isDir() || len(n.lowers) < 2 || !n.asksDisk() {
		return
	}
	l, lowers := n.listing, int64(len(n.lowers))
	if l.Pays(lowers, fewLookups*lowers, func() int64 { return u.priceOf(n) }) && u.load(n) != nil {
		l.NeverPays()
	}
}

// asksDisk tells whether a lookup has to read some lower on disk without knowing that it has the name.
func (n *Node) asksDisk() bool {
	if x := n.listing.Index.Load(); x != nil && x.From == 0 {
		return false
	}
	return slices.ContainsFunc(n.lowers, func(p layer.Place) bool { return !p.Dir.Known() })
}

// priceOf returns the number of lookups that take as long as loading the listing of n.
func (u *Union) priceOf(n *Node) int64 {
	var size int64
	for slot, p := range n.lowers {
		if p.Dir.Known() {
			size += bytesPerName * int64(p.Dir.Len())
			continue
		}
		h, err := u.backing(n, slot)
		if err != nil {
			return math.MaxInt64
		}
		st, err := sys.Stat(h.FD)
		u.fds.Release(h)
		if err != nil {
			return math.MaxInt64
		}
		size += max(0, st.Size-smallDirectory)
	}
	return max(1, size/bytesPerName/namesPerLookup)
}

// mergeAtOnce is the smallest number of layers for which making a name index takes less time than asking each layer
// for a few names.
const mergeAtOnce = 4

// nameIndex returns the name index of a directory; nil if there is none.
func (n *Node) nameIndex() *listing.NameIndex {
	if !n.isDir() || len(n.lowers) < 2 {
		return nil
	}
	x := n.listing.Index.Load()
	if x == nil && len(n.lowers) >= mergeAtOnce {
		if x = n.mergeIndexes(); x != nil {
			x = n.listing.OfferIndex(x)
		}
	}
	return x
}

// mergeIndexes makes a name index of the longest run of lowers, up to the last, that all have a layer index. The lower
// with the most entries is left out and is asked directly: to include it would take more memory, and more time to make
// the index, than one more search costs.
func (n *Node) mergeIndexes() *listing.NameIndex {
	from, left := len(n.lowers), -1
	for from > 0 && n.lowers[from-1].Dir.Known() {
		from--
		if left < 0 || n.lowers[from].Dir.Len() > n.lowers[left].Dir.Len() {
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
		err := n.lowers[slot].Dir.Names(func(name string) { names[slot] = append(names[slot], name) })
		if err != nil {
			return nil // a lookup there meets the error, too
		}
	}
	return listing.NewNameIndex(from, left, names)
}

// load reads the names of all layers of n, the first time. Entries of n are held.
func (u *Union) load(n *Node) error {
	err := n.listing.Load(func(add func(name string)) (marks []string, err error) {
		lowers := make([][]string, len(n.lowers)) // the names for which a lookup has to ask each
		for slot := n.firstSlot(); slot < n.layers() && err == nil; slot++ {
			err = u.readNames(n, slot, func(name string) {
				of, reserved := strings.CutPrefix(name, layerfmt.WhiteoutPrefix)
				if !reserved {
					add(name)
				} else if slot == fdcache.Upper {
					marks = append(marks, of)
				}
				if slot >= 0 && len(n.lowers) > 1 {
					lowers[slot] = append(lowers[slot], of)
				}
			})
		}
		if err == nil && len(n.lowers) > 1 {
			n.listing.Index.Store(listing.NewNameIndex(0, -1, lowers))
		}
		return marks, err
	})
	return n.fault("list", err)
}

// readNames calls f with the names that one layer has in n.
func (u *Union) readNames(n *Node, slot int, f func(name string)) error {
	if slot >= 0 && n.lowers[slot].Dir.Known() {
		return n.lowers[slot].Dir.Names(f)
	}
	return u.readBacking(n, slot, func(_ int, e beneath.Entry) { f(e.Name) })
}

// readBacking calls f with the entries of the directory that one layer has on disk for n, and its descriptor.
func (u *Union) readBacking(n *Node, slot int, f func(dir int, e beneath.Entry)) error {
	h, err := u.backing(n, slot)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	fd, err := sys.OpenQuietly(h.FD, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return beneath.ReadDir(fd, func(e beneath.Entry) { f(h.FD, e) })
}

// names returns all names that some layer has in n. Entries of n are held.
func (u *Union) names(n *Node) ([]string, error) {
	if err := u.load(n); err != nil {
		return nil, err
	}
	var names []string
	for _, s := range n.listing.After(0, int(^uint(0)>>1)) {
		names = append(names, s.Name)
	}
	return names, nil
}

// Dirent is an entry of a directory.
type Dirent struct {
	Name   string
	Cookie uint64 // where Readdir goes on after this entry
	Node   *Node  // nil for "." and ".."; else looked up once more, which Forget takes back
	Attr   Attr   // of "." and "..", only Ino and Mode
}

// Readdir calls emit with the entries of a directory that follow a cookie, which is 0 or is from a Dirent of the same
// directory. It ends when emit returns false: then emit has not taken the entry, and Readdir takes its lookup back.
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
	for pos := listing.PositionOf(cookie); ; {
		slots := n.listing.After(pos, batch)
		for _, s := range slots {
			more, err := u.emitEntry(n, s, emit)
			if err != nil || !more {
				return err
			}
		}
		if len(slots) < batch {
			return nil
		}
		pos = slots[len(slots)-1].Pos
	}
}

func (u *Union) emitDots(n *Node, cookie uint64, emit func(*Dirent) bool) bool {
	dot := func(name string, cookie uint64, of *Node) bool {
		return emit(&Dirent{Name: name, Cookie: cookie, Attr: Attr{Ino: of.ino, Mode: unix.S_IFDIR}})
	}
	if cookie < listing.CookieDot && !dot(".", listing.CookieDot, n) {
		return false
	}
	if cookie >= listing.CookieDotDot {
		return true
	}
	parent := n
	if l, named := u.anyLink(n); named {
		parent = l.parent
	}
	return dot("..", listing.CookieDotDot, parent)
}

// emitEntry emits a name if it shows. An entry that cannot be examined must not spoil the listing, so it is left out,
// and a lookup of it returns the error.
func (u *Union) emitEntry(n *Node, s listing.Entry, emit func(*Dirent) bool) (more bool, err error) {
	child, a, err := u.lookupHeld(n, s.Name)
	if isNotExist(err) {
		n.listing.Remove(s.Name, true)
		return true, nil
	}
	if err != nil {
		return true, nil
	}
	if !emit(&Dirent{Name: s.Name, Cookie: s.Pos.Cookie(), Node: child, Attr: a}) {
		u.Forget(child, 1)
		return false, nil
	}
	return true, nil
}
