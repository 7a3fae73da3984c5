package unionmount

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/listing"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
)

// Node is an inode of a Union: a file, directory, link or special file, with any number of names.
type Node struct {
	u    *Union
	id   uint64 // never used again; immutable
	ino  uint64 // st_ino; immutable
	kind uint32 // type bits of st_mode; immutable

	// lowers are the lower backing files. A directory has all that are merged. Another node has at most one, and
	// behind it the file with its data if that is elsewhere. Immutable.
	lowers []layer.Place
	// lowerKey is the backing file of lowers[0], or of a mount point; its Ino is 0 if there is none. Immutable.
	lowerKey workdir.Key
	// foreign holds the attributes of a node that stands for a mount point of a layer. Such a node has no lowers.
	// Immutable.
	foreign *unix.Stat_t
	// snapshot holds what is known of a lower file of the store, which does not change, so that no descriptor is
	// needed to return its attributes. Immutable.
	snapshot *lowerSnapshot
	// lacksNames says that the backing file in the upper may lack known names, which only the lower has.
	lacksNames atomic.Bool
	// shared says that the lower backing file has several names. Immutable.
	shared bool

	// entries guards the names in a directory. See the lock order in the package comment.
	entries sync.RWMutex
	// listing is the order of the names of a directory for Readdir; nil if the node is none. Immutable.
	listing *listing.Listing

	// inUpper says that the node has a backing file in the upper. Set with meta held; never unset.
	inUpper atomic.Bool
	// dataInLower says that the file that shows, a regular one, has no data, but the last of lowers has. Changed with
	// meta held; for a file in the upper it is never set again.
	dataInLower atomic.Bool
	// subdirs is one more than the number of subdirectories of a merged directory, and 0 as long as that is not
	// known. Set with entries or meta held, changed with entries held for writing.
	subdirs atomic.Int64
	// complete says that the upper has all of a directory, which is opaque there: its lowers no longer count. Never
	// unset.
	complete atomic.Bool
	// dead is set when a directory is removed. Set with its entries held.
	dead atomic.Bool

	// readAt is an access time in nanoseconds since 1970, which the file in the upper may not have; 0 for none.
	readAt atomic.Int64

	// account is what the node is charged for; nil without a quota. Immutable.
	account *quota.Account

	// defaults is the default ACL of a directory; nil as long as it is not known. Changed with meta held.
	defaults atomic.Pointer[encoding.ACL]

	meta     sync.RWMutex   // guards what follows
	upperKey workdir.Key    // of the backing file in the upper; changed with Union.mu held, too
	stat     layerfmt.Stat  // owner, mode and device
	caps     capState       // whether the file has security.capability
	bare     bool           // the file is known to have no xattrs that a container sees
	group    *workdir.Group // of the copy of a file that has several names in its lower
	hidden   workdir.Hidden // names of a lower file with several that were deleted before it was copied up

	// The following are guarded by Union.mu.
	links     []link // names that are known to lead here
	lookups   uint64 // lookups not forgotten yet
	children  int    // links of other nodes whose parent this is
	mayBeGone bool   // the backing file in the upper may have no name any more, or none yet
	height    int    // levels of directories that are known to be below
	bounded   bool   // there are no more than that
}

// link is a name in a directory.
type link struct {
	parent *Node
	name   string
}

// ID returns a number that no other node of the Union has or will have. It is what Union.Node takes.
func (n *Node) ID() uint64 { return n.id }

// Kind returns the type bits of the node's mode.
func (n *Node) Kind() uint32 { return n.kind }

func (n *Node) isDir() bool { return n.kind == unix.S_IFDIR }

// Node returns the node of an id, as long as it is looked up more often than forgotten.
func (u *Union) Node(id uint64) (*Node, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, ok := u.byID[id]
	return n, ok
}

// adopt returns the node of what was found at a name, looked up once more. Entries of dir are held.
func (u *Union) adopt(dir *Node, name string, o *object) *Node {
	key := o.key()
	u.mu.Lock()
	defer u.mu.Unlock()
	n := u.byFile[key]
	if n == nil {
		n = u.newNodeLocked(o)
	}
	if dir != nil {
		u.linkLocked(n, link{dir, name})
	}
	if (o.indexed || !o.inUpper && n.inUpper.Load()) && u.upper.HostOwned {
		n.lacksNames.Store(true)
	}
	n.lookups++
	u.byID[n.id] = n
	return n
}

func (u *Union) newNodeLocked(o *object) *Node {
	n := &Node{
		u:     u,
		id:    u.nextID.Add(1),
		ino:   u.shownIno(o.ino()),
		kind:  o.top.ID.Mode & unix.S_IFMT,
		stat:  o.top.ID,
		group: o.top.Group,
	}
	if n.isDir() {
		n.listing = &listing.Listing{}
	}
	n.lowers = o.lowers
	n.lowerKey = o.lowerKey
	n.hidden = o.hidden
	n.shared = !o.inUpper && !n.isDir() && o.top.Stat.Nlink > 1
	if n.group != nil {
		n.lowerKey = n.group.Lower
	}
	n.dataInLower.Store(o.top.Data != nil)
	n.account = u.quota.Open(n, o.made || !o.inUpper)
	if o.inUpper {
		n.inUpper.Store(true)
		n.upperKey = o.key()
	} else if o.top.Foreign {
		n.foreign = &o.top.Stat
	} else if !o.topLayer.HostOwned {
		n.snapshot = newSnapshot(o.top)
	}
	for _, key := range []workdir.Key{n.lowerKey, n.upperKey} {
		if key.Ino != 0 {
			u.byFile[key] = n
		}
	}
	return n
}

// linkLocked notes that l leads to n.
func (u *Union) linkLocked(n *Node, l link) {
	if !slices.Contains(n.links, l) {
		n.links = append(n.links, l)
		l.parent.children++
	}
}

// unlinkLocked notes that l no longer leads to n.
func (u *Union) unlinkLocked(n *Node, l link) {
	if i := slices.Index(n.links, l); i >= 0 {
		n.links = slices.Delete(n.links, i, i+1)
		l.parent.children--
		u.reapLocked(l.parent)
	}
}

// lookedUp notes that n was reached by l once more.
func (u *Union) lookedUp(n *Node, l link) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.linkLocked(n, l)
	n.lookups++
	u.byID[n.id] = n
}

func (u *Union) removeLink(n *Node, l link) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.unlinkLocked(n, l)
}

// linksOf returns the names that are known to lead to n.
func (u *Union) linksOf(n *Node) []link {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(n.links)
}

// Forget takes back count lookups of n. A node whose lookups are all forgotten may not be used any more.
func (u *Union) Forget(n *Node, count uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n.lookups -= min(count, n.lookups)
	u.reapLocked(n)
}

// reapLocked gives up n if nothing needs it any more.
func (u *Union) reapLocked(n *Node) {
	if n == u.root || n.lookups > 0 {
		return
	}
	delete(u.byID, n.id)
	if n.children > 0 {
		return
	}
	u.forgetFilesLocked(n)
	u.forgetXattrsLocked(n)
	for _, l := range n.links {
		l.parent.children--
		u.reapLocked(l.parent)
	}
	n.links = nil
	u.fds.DropNode(n.id, len(n.lowers))
	n.account.Close()
}

// forgetFilesLocked makes n no longer be found by its backing files.
func (u *Union) forgetFilesLocked(n *Node) {
	for _, key := range []workdir.Key{n.lowerKey, n.upperKey} {
		if u.byFile[key] == n {
			delete(u.byFile, key)
		}
	}
}

// path returns a name of the node from the root, for messages.
func (n *Node) path() string {
	n.u.mu.Lock()
	defer n.u.mu.Unlock()
	var names []string
	for n != n.u.root {
		if len(n.links) == 0 {
			names = append(names, "(deleted)")
			break
		}
		names = append(names, n.links[0].name)
		n = n.links[0].parent
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/")
}

// mayBeGone notes that the file of n in the upper may have no name any more, or none yet.
func (u *Union) mayBeGone(n *Node) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n.mayBeGone = true
}

// forgetXattrsLocked deletes the recorded xattrs of n, which is about to be forgotten, if its file in the upper goes
// with its descriptor: another file may then get the inode number. An error does no harm, because whatever makes a
// file deletes the xattrs recorded for its number, too.
func (u *Union) forgetXattrsLocked(n *Node) {
	if _, recorded := u.xattrsOfUpper().(encoding.Beside); !recorded || !n.mayBeGone || !n.inUpper.Load() {
		return
	}
	if n.dead.Load() || u.isNameless(n) {
		u.upper.Xattrs.Forget(n.upperKey.Ino)
	}
}

// xattrsOfUpper returns where the xattrs of the upper are; nil if there is no upper.
func (u *Union) xattrsOfUpper() encoding.Store {
	if u.upper == nil {
		return nil
	}
	return u.upper.Xattrs
}

// isNameless tells whether the file of n in the upper has no name. A file that lost its last known name was kept open
// before that.
func (u *Union) isNameless(n *Node) bool {
	h := u.fds.Get(n.fdKey(fdcache.Upper))
	if h == nil {
		h = u.fds.Get(n.fdKey(fdcache.UpperData))
	}
	if h == nil {
		return false
	}
	defer u.fds.Release(h)
	st, err := sys.Stat(h.FD)
	return err != nil || st.Nlink == 0
}

// forgetGone deletes the recorded xattrs of all files that go when the Union is closed.
func (u *Union) forgetGone() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, n := range u.byID {
		u.forgetXattrsLocked(n)
	}
}
