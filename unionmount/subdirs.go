package unionmount

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// mergedNlink returns the link count of a merged directory, given that of its first backing directory: two plus the
// number of subdirectories that show, or 1 where the filesystem does not count. They are counted when a node is first
// asked for its attributes, which is when it is looked up.
//
// Entries of n must be held for the number to be kept, but a caller holds meta, and may hold entries of the parent: to
// wait for entries of n would be against the order of locks. If another operation has them for writing, it has looked
// the node up before this lookup was done, and changes a name. Then the number is not kept, and may miss that change:
// after the change the kernel asks for the attributes of the directory again.
func (u *Union) mergedNlink(n *Node, backing uint32) uint32 {
	if known := n.subdirs.Load(); known > 0 {
		return uint32(known) + 1
	}
	if backing < 2 {
		return 1
	}
	still := n.entries.TryRLock()
	if still {
		defer n.entries.RUnlock()
	}
	count, err := u.countSubdirs(n)
	if err != nil {
		return 1
	}
	if still {
		n.subdirs.Store(count + 1)
	}
	return uint32(count) + 2
}

// changeSubdirs adds to the number of subdirectories of a directory. Entries of n are held.
func (n *Node) changeSubdirs(by int64) {
	if n.subdirs.Load() > 0 {
		n.subdirs.Add(by)
	}
}

// oneIfDir returns by how much an entry changes the number of subdirectories of its directory.
func (n *Node) oneIfDir() int64 {
	if n != nil && n.isDir() {
		return 1
	}
	return 0
}

// countSubdirs counts the names that are a directory in the topmost layer that has the name. It reads the names only
// down to the last layer that has subdirectories. Entries of n are held, or the number may miss a change that is
// under way.
func (u *Union) countSubdirs(n *Node) (count int64, err error) {
	last := n.layers() - 1
	for ; last >= n.firstSlot(); last-- {
		if some, err := u.hasSubdirs(n, last); some || err != nil {
			break
		}
	}
	hidden := map[string]bool{}
	for slot := n.firstSlot(); slot <= last; slot++ {
		var names []string
		err := u.eachKind(n, slot, func(name string, isDir bool) bool {
			of, reserved := strings.CutPrefix(name, layerfmt.WhiteoutPrefix)
			if isDir && !reserved && !hidden[name] {
				count++
			}
			if slot < last {
				names = append(names, of)
			}
			return true
		})
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			hidden[name] = true
		}
	}
	return count, nil
}

// hasSubdirs tells whether one layer may have subdirectories: the link count of a directory on disk says so.
func (u *Union) hasSubdirs(n *Node, slot int) (some bool, err error) {
	if slot >= 0 && n.lowers[slot].Dir.Known() {
		err = n.lowers[slot].Dir.Each(func(_ string, isDir bool) bool {
			some = isDir
			return !some
		})
		return some, err
	}
	h, err := u.backing(n, slot)
	if err != nil {
		return false, err
	}
	defer u.fds.Release(h)
	st, err := sys.Stat(h.FD)
	return st.Nlink != 2, err // filesystems that do not count have 1
}

// eachKind calls f with the names that one layer has in n, and whether they are of directories there.
func (u *Union) eachKind(n *Node, slot int, f func(name string, isDir bool) bool) error {
	if slot >= 0 && n.lowers[slot].Dir.Known() {
		return n.lowers[slot].Dir.Each(f)
	}
	return u.readBacking(n, slot, func(dir int, e beneath.Entry) { f(e.Name, u.isSubdir(dir, e)) })
}

func (u *Union) isSubdir(dirfd int, e beneath.Entry) bool {
	if e.Type != unix.DT_UNKNOWN {
		return e.Type == unix.DT_DIR
	}
	st, err := beneath.Stat(dirfd, e.Name)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}
