package unionmount

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Node is an inode of a Union: a file, directory, link or special file, whatever its names are.
type Node struct {
	u    *Union
	id   uint64 // never used again; immutable
	ino  uint64 // st_ino; immutable
	kind uint32 // type bits of st_mode; immutable

	// lowers are the lower backing files: of a directory all that are merged; of another node at most one, and behind it
	// the one that has its data if it has none itself. Immutable.
	lowers []place
	// lowerKey is the backing file of lowers[0], or of a mount point; its ino is 0 without one. Immutable.
	lowerKey backingKey
	// foreign holds the attributes of a node that stands for a mount point of a layer, and has no lowers. Immutable.
	foreign *unix.Stat_t
	// still holds what is known of a lower file that nobody changes, one of the store's: a file costs no descriptor then
	// to be asked for its attributes. Immutable.
	still *still
	// unnamed says that the backing file in the upper may lack names that are known, which only the lower has.
	unnamed atomic.Bool
	// shared says that the lower backing file has several names. Immutable.
	shared bool

	// entries guards the names in a directory. See the lock order in the package comment.
	entries sync.RWMutex
	// listing is the order of names of a directory for Readdir; nil of anything else. Immutable.
	listing *listing

	// inUpper says that the node has a backing file in the upper. Set with meta held; never unset.
	inUpper atomic.Bool
	// borrows says that the file that shows, a regular one, has no data: it is that of the last of lowers. Changed with
	// meta held; of a file in the upper never set again.
	borrows atomic.Bool
	// subdirs is one more than the number of subdirectories of a merged directory; 0 as long as that is not known. Set
	// with entries held, changed with entries held for writing.
	subdirs atomic.Int64
	// whole says that all of a directory is in the upper, where it is opaque: its lowers count no more. Never unset.
	whole atomic.Bool
	// dead is set when a directory is removed. Set with its entries held.
	dead atomic.Bool

	// readAt is an access time, in nanoseconds since 1970, that the file in the upper may not have; 0 for none.
	readAt atomic.Int64

	// account is what the node is charged for; nil without a quota. Immutable.
	account *account

	// defaults is the default ACL of a directory; nil as long as it is not known. Changed with meta held.
	defaults atomic.Pointer[acl]

	meta     sync.RWMutex  // guards what follows
	upperKey backingKey    // of the backing file in the upper; changed with Union.mu held, too
	stat     layerfmt.Stat // owner, mode and device
	caps     capState      // whether the file has security.capability
	bare     bool          // the file is known to have no xattrs that are to be seen
	group    *linkGroup    // of the copy of a file that has several names in its lower
	hidden   hidden        // names of a lower file with several that were deleted before it was copied up

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

// adopt returns the node of what was found at a name, looked up once more. Whoever adopts holds entries of dir.
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
	if (o.indexed || !o.inUpper && n.inUpper.Load()) && u.upper.Ownership == HostOwned {
		n.unnamed.Store(true)
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
		kind:  o.top.id.Mode & unix.S_IFMT,
		stat:  o.top.id,
		group: o.top.group,
	}
	if n.isDir() {
		n.listing = &listing{}
	}
	n.lowers = o.lowers
	n.lowerKey = o.lowerKey
	n.hidden = o.hidden
	n.shared = !o.inUpper && !n.isDir() && o.top.st.Nlink > 1
	if n.group != nil {
		n.lowerKey = n.group.key
	}
	n.borrows.Store(o.top.data != nil)
	n.account = u.newAccount(o)
	if o.inUpper {
		n.inUpper.Store(true)
		n.upperKey = o.key()
	} else if o.top.foreign {
		n.foreign = &o.top.st
	} else if o.topLayer.Ownership == CallerOwned {
		n.still = newStill(o.top)
	}
	for _, key := range []backingKey{n.lowerKey, n.upperKey} {
		if key.ino != 0 {
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
	u.fds.dropNode(n, len(n.lowers))
	n.account.close()
}

// forgetFilesLocked makes n no longer be found by its backing files.
func (u *Union) forgetFilesLocked(n *Node) {
	for _, key := range []backingKey{n.lowerKey, n.upperKey} {
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
