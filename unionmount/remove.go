package unionmount

import (
	"cmp"
	"errors"
	"slices"

	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"golang.org/x/sys/unix"
)

// lockDirs locks the entries of several directories for writing, and returns what unlocks them. It ignores nil,
// repetitions, and nodes that are not directories.
func lockDirs(dirs ...*Node) (unlock func()) {
	dirs = slices.DeleteFunc(dirs, func(n *Node) bool { return n == nil || !n.isDir() })
	slices.SortFunc(dirs, func(a, b *Node) int { return cmp.Compare(a.id, b.id) })
	dirs = slices.Compact(dirs)
	for _, n := range dirs {
		n.entries.Lock()
	}
	return func() {
		for _, n := range dirs {
			n.entries.Unlock()
		}
	}
}

// Unlink removes a name of a node that is not a directory.
func (u *Union) Unlink(dir *Node, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := u.copyUp(dir, contentToRemove); err != nil {
		return err
	}
	dir.entries.Lock()
	defer dir.entries.Unlock()
	o, err := u.find(dir, name)
	if err != nil {
		return err
	}
	if o.top.IsDir() {
		return unix.EISDIR
	}
	n := u.adopt(dir, name, &o)
	defer u.Forget(n, 1)
	return u.removeFound(n, link{dir, name}, &o)
}

// Rmdir removes a directory in which nothing shows. It looks the directory up first, because it must be locked
// together with its parent.
func (u *Union) Rmdir(dir *Node, name string) error {
	if u.upper == nil {
		return unix.EROFS
	}
	n, _, err := u.Lookup(dir, name)
	if err != nil {
		return err
	}
	defer u.Forget(n, 1)
	if err := u.copyUp(dir, contentToRemove); err != nil {
		return err
	}
	unlock := lockDirs(dir, n)
	defer unlock()
	o, err := u.findAgain(dir, name, n)
	if err != nil {
		return err
	}
	if !n.isDir() {
		return unix.ENOTDIR
	}
	if err := u.checkEmpty(n); err != nil {
		return err
	}
	return u.removeFound(n, link{dir, name}, o)
}

// findAgain is find for a name that was looked up before its directory was locked. If the name has become another
// file since, the error is ENOENT: the caller asked for the old file, and has lost the race.
func (u *Union) findAgain(dir *Node, name string, n *Node) (*object, error) {
	o, err := u.find(dir, name)
	if err != nil {
		return nil, err
	}
	if !u.isNodeOf(n, &o) {
		return nil, unix.ENOENT
	}
	return &o, nil
}

func (u *Union) isNodeOf(n *Node, o *object) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.byFile[o.key()] == n
}

// removeFound removes the name l of n, which was found as o. Entries of l.parent and of n are held.
func (u *Union) removeFound(n *Node, l link, o *object) error {
	whiteout, err := u.lowerHas(l, o)
	if err != nil {
		return err
	}
	parent, err := u.backing(l.parent, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(parent)
	defer u.settleAll(n, l.parent)
	n.meta.Lock()
	defer n.meta.Unlock()
	if err := u.pin(n); err != nil {
		return err
	}
	if err := u.vanishNode(n, parent.FD, l.name, o.presentIn(), whiteout); err != nil {
		return n.fault("remove", err)
	}
	l.parent.listing.Remove(l.name, whiteout)
	l.parent.changeSubdirs(-n.oneIfDir())
	return u.unname(n, l, o)
}

// vanishNode is vanish for a name that is known to be of n. A directory that may not be written is made writable for
// it, because otherwise it cannot be moved out of the way. Meta of n is held.
func (u *Union) vanishNode(n *Node, dirfd int, name string, has presence, whiteout bool) error {
	vanish := func() error { return u.vanish(dirfd, name, has, whiteout) }
	if has != presentDir {
		return vanish()
	}
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	return sys.Owning(h.FD, vanish)
}

// lowerHas tells whether the lowers show something at the name l, at which o was found.
func (u *Union) lowerHas(l link, o *object) (bool, error) {
	if !o.inUpper || o.indexed {
		return true, nil
	}
	_, err := u.findLower(l.parent, l.name)
	return visible(err)
}

// unname takes the name l, which is gone, from n, which was found as o. Meta of n is held, and the file is pinned.
func (u *Union) unname(n *Node, l link, o *object) error {
	u.removeLink(n, l)
	u.mayBeGone(n)
	if n.isDir() {
		n.dead.Store(true)
		u.forgetFiles(n)
		return nil
	}
	if o.presentIn() == absent {
		if err := u.dropName(n); err != nil {
			return err
		}
	}
	u.releaseIno(n, o)
	if err := u.forgetOrigin(n); err != nil {
		return err
	}
	return u.endGroup(n)
}

// forgetFiles removes a deleted directory from the table of backing files, because their inode numbers will be
// reused.
func (u *Union) forgetFiles(n *Node) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forgetFilesLocked(n)
}

// checkEmpty returns ENOTEMPTY if something shows in n. It also reads a directory whose permissions forbid it,
// because a process may remove a directory that it may not read. Entries of n are held.
func (u *Union) checkEmpty(n *Node) error {
	err := u.seekEntries(n)
	if !errors.Is(err, unix.EACCES) || !n.inUpper.Load() {
		return err
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	return sys.WithOwnerAccess(h.FD, func() error { return u.seekEntries(n) })
}

// seekEntries returns ENOTEMPTY if something shows in n.
func (u *Union) seekEntries(n *Node) error {
	names, err := u.names(n)
	if err != nil {
		return err
	}
	for _, name := range names {
		_, err := u.find(n, name)
		exists, err := visible(err)
		if err != nil {
			return err
		}
		if exists {
			return unix.ENOTEMPTY
		}
	}
	return nil
}
