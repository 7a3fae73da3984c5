package unionmount

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// mergedNlink returns the link count of a merged directory: the number of subdirectories that are to be seen, and two.
// In trees of one user's, as with an overlay of the kernel's, it is 1, which tells programs that they were not counted;
// so it is where somebody is just changing the directory.
func (u *Union) mergedNlink(n *Node) uint32 {
	if n.topLayer().Ownership != HostOwned {
		return 1
	}
	if known := n.subdirs.Load(); known > 0 {
		return uint32(known) + 1
	}
	if !n.entries.TryRLock() { // to wait for it is not this one's turn: see the order of locks
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

// countSubdirs counts what is a directory in the topmost layer that has its name. Only where some layer has
// subdirectories, which its link count tells, are names read. Entries of n are held.
func (u *Union) countSubdirs(n *Node) (int64, error) {
	none := true
	for slot := n.firstSlot(); slot < n.layers() && none; slot++ {
		h, err := u.backing(n, slot)
		if err != nil {
			return 0, err
		}
		st, err := statFD(h.fd)
		u.fds.release(h)
		if err != nil {
			return 0, err
		}
		none = st.Nlink == 2 // 1 is of filesystems that do not count
	}
	if none {
		return 0, nil
	}
	count, hidden := int64(0), map[string]bool{}
	for slot := n.firstSlot(); slot < n.layers(); slot++ {
		more, err := u.countSubdirsIn(n, slot, hidden)
		if err != nil {
			return 0, err
		}
		count += more
	}
	return count, nil
}

// countSubdirsIn counts the subdirectories of one layer that none above hides, and adds the names that it hides itself.
func (u *Union) countSubdirsIn(n *Node, slot int, hidden map[string]bool) (count int64, err error) {
	h, err := u.backing(n, slot)
	if err != nil {
		return 0, err
	}
	defer u.fds.release(h)
	fd, err := openat(h.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var names []string
	err = readDir(fd, func(e dirEntry) {
		name, reserved := strings.CutPrefix(e.name, layerfmt.WhiteoutPrefix)
		names = append(names, name)
		if !reserved && !hidden[name] && u.isSubdir(h.fd, e) {
			count++
		}
	})
	for _, name := range names {
		hidden[name] = true
	}
	return count, err
}

func (u *Union) isSubdir(dirfd int, e dirEntry) bool {
	if e.typ != unix.DT_UNKNOWN {
		return e.typ == unix.DT_DIR
	}
	st, err := statAt(dirfd, e.name)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}
