package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"
)

// maxDepth bounds the number of names in the path of a new entry. Without it, directories in a container could nest
// without end, and programs of the host that walk them, recursively or with full paths, would fail.
const maxDepth = 4096

// The bound is checked when names change. Files that lie deeper in a lower show, and can be changed, but nothing is
// made there.
//
// A directory that moves farther from the root takes along what is below it. So a directory has a height: how many
// levels of directories may be below it. A directory that was made through the Union has one from the start. Others
// are walked through when they first move farther from the root. A height never falls, so a directory whose height is
// too large is walked through again. Nothing is written to the disk. A directory that the server may not read counts
// as one without subdirectories.
//
// The bound is exact to one level: a directory takes along files, which lie one level deeper, and a mkdir may be
// under way below it.

// level returns the number of names in the path of a directory.
func (u *Union) level(dir *Node) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	level := 0
	for ; len(dir.links) > 0; dir = dir.links[0].parent {
		level++
	}
	return level
}

// checkDepth refuses a new entry of dir that would lie too deep.
func (u *Union) checkDepth(dir *Node) error {
	if u.level(dir)+1 > maxDepth {
		return unix.ENAMETOOLONG
	}
	return nil
}

// checkMove returns ENAMETOOLONG if n, moved from one directory to another, or anything below it would lie too deep.
// No lock is held.
func (u *Union) checkMove(n, from, to *Node) error {
	level := u.level(to) + 1
	if level <= u.level(from)+1 {
		return nil
	}
	if level > maxDepth {
		return unix.ENAMETOOLONG
	}
	if !n.isDir() {
		return nil
	}
	height, err := u.heightOf(n, maxDepth-level)
	if err == nil && level+height > maxDepth {
		err = unix.ENAMETOOLONG
	}
	return err
}

// heightOf returns the height of a directory, or some number above most if the height is above most.
func (u *Union) heightOf(n *Node, most int) (int, error) {
	u.mu.Lock()
	u.boundLocked(n)
	height, bounded := n.height, n.bounded
	u.mu.Unlock()
	if bounded && height <= most {
		return height, nil
	}
	height, err := u.measure(n, most)
	if err != nil || height > most {
		return height, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	n.height, n.bounded = max(n.height, height), true
	return height, nil
}

// boundLocked derives the height of a directory from the height of one above it, if its own is not known.
func (u *Union) boundLocked(n *Node) {
	above := 0
	for dir := n; !n.bounded && len(dir.links) > 0; {
		dir = dir.links[0].parent
		above++
		if dir.bounded {
			n.height, n.bounded = max(n.height, dir.height-above), true
		}
	}
}

// raiseLocked notes that there are so many levels of directories below dir, or, if they are not bounded, perhaps
// more.
func (u *Union) raiseLocked(dir *Node, height int, bounded bool) {
	for ; !bounded || dir.height < height; dir = dir.links[0].parent {
		dir.height = max(dir.height, height)
		dir.bounded = dir.bounded && bounded
		height++
		if len(dir.links) == 0 {
			return
		}
	}
}

// madeDir notes that a directory has just been made.
func (u *Union) madeDir(n, parent *Node) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n.bounded = true
	u.raiseLocked(parent, 1, true)
}

// carryLocked notes that n becomes an entry of dir.
func (u *Union) carryLocked(n, dir *Node) {
	if n.isDir() {
		u.boundLocked(n)
		u.raiseLocked(dir, n.height+1, n.bounded)
	}
}

// branch is a directory on the way of a walk, with the names of its subdirectories that were not visited yet.
type branch struct {
	node *Node
	left []string
}

// measure walks through the directories below n and returns how many levels there are. It stops at the first level
// below most.
func (u *Union) measure(n *Node, most int) (height int, err error) {
	way := []branch{{node: n}}
	defer func() {
		for _, b := range way[1:] {
			u.Forget(b.node, 1)
		}
	}()
	if way[0].left, err = u.subdirNames(n); err != nil {
		return 0, err
	}
	for {
		b := &way[len(way)-1]
		if len(b.left) == 0 {
			if len(way) == 1 {
				return height, nil
			}
			u.Forget(b.node, 1)
			way = way[:len(way)-1]
			continue
		}
		name := b.left[0]
		b.left = b.left[1:]
		child, a, err := u.Lookup(b.node, name)
		if err != nil || !child.isDir() {
			if err == nil {
				u.Forget(child, 1)
			}
			continue // it is gone, or a file in another layer hides it
		}
		way = append(way, branch{node: child})
		if height = max(height, len(way)-1); height > most {
			return height, nil
		}
		if a.Nlink == 2 { // nothing below
			continue
		}
		if way[len(way)-1].left, err = u.subdirNames(child); err != nil {
			return 0, err
		}
	}
}

// subdirNames returns the names that are directories in some layer.
func (u *Union) subdirNames(n *Node) (names []string, err error) {
	n.entries.RLock()
	defer n.entries.RUnlock()
	if n.dead.Load() {
		return nil, nil
	}
	known := map[string]bool{}
	for slot := n.firstSlot(); slot < n.layers(); slot++ {
		err := u.eachKind(n, slot, func(name string, isDir bool) bool {
			if isDir && !known[name] {
				known[name] = true
				names = append(names, name)
			}
			return true
		})
		if err != nil && !errors.Is(err, unix.EACCES) {
			return nil, n.fault("list", err)
		}
	}
	return names, nil
}
