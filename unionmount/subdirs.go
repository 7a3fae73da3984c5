package unionmount

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// mergedNlink returns the link count of a merged directory, of whose backing directories the first has the given one: the
// number of subdirectories that are to be seen, and two; or 1 where the filesystem does not count. They are counted when a
// node is first asked for its attributes, which is when it is looked up: nobody can be changing the directory then.
func (u *Union) mergedNlink(n *Node, backing uint32) uint32 {
	if known := n.subdirs.Load(); known > 0 {
		return uint32(known) + 1
	}
	if backing < 2 || !n.entries.TryRLock() { // to wait for it is not this one's turn: see the order of locks
		return 1
	}
	defer n.entries.RUnlock()
	count, err := u.countSubdirs(n)
	if err != nil {
		return 1
	}
	n.subdirs.Store(count + 1)
	return uint32(count) + 2
}

// takeSubdirs notes how many subdirectories a directory of one lower has, which is about to be merged with one in the
// upper. Meta of n is held, and the upper has nothing in it that could change the number.
func (u *Union) takeSubdirs(n *Node) error {
	if !n.isDir() || n.foreign != nil || len(n.lowers) != 1 {
		return nil
	}
	st, err := u.statBacking(n)
	if err == nil && st.Nlink >= 2 {
		n.subdirs.Store(int64(st.Nlink) - 1)
	}
	return err
}

// changeSubdirs notes that a directory has more or fewer subdirectories. Entries of n are held.
func (n *Node) changeSubdirs(by int64) {
	if n.subdirs.Load() > 0 {
		n.subdirs.Add(by)
	}
}

// oneIfDir is by how much an entry changes the count of its directory's subdirectories.
func (n *Node) oneIfDir() int64 {
	if n != nil && n.isDir() {
		return 1
	}
	return 0
}

// countSubdirs counts what is a directory in the topmost layer that has its name. Only the names of the layers down to
// the last that has subdirectories are read. Entries of n are held.
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

// hasSubdirs tells whether one layer may have subdirectories, which the link count of a directory on disk says.
func (u *Union) hasSubdirs(n *Node, slot int) (some bool, err error) {
	if slot >= 0 && n.lowers[slot].dir.Known() {
		err = n.lowers[slot].dir.Each(func(_ string, isDir bool) bool {
			some = isDir
			return !some
		})
		return some, err
	}
	h, err := u.backing(n, slot)
	if err != nil {
		return false, err
	}
	defer u.fds.release(h)
	st, err := statFD(h.fd)
	return st.Nlink != 2, err // 1 is of filesystems that do not count
}

// eachKind calls f with the names that one layer has in n, and whether they are of directories there.
func (u *Union) eachKind(n *Node, slot int, f func(name string, isDir bool) bool) error {
	if slot >= 0 && n.lowers[slot].dir.Known() {
		return n.lowers[slot].dir.Each(f)
	}
	return u.readBacking(n, slot, func(dir int, e beneath.Entry) { f(e.Name, u.isSubdir(dir, e)) })
}

func (u *Union) isSubdir(dirfd int, e beneath.Entry) bool {
	if e.Type != unix.DT_UNKNOWN {
		return e.Type == unix.DT_DIR
	}
	st, err := statAt(dirfd, e.Name)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}
