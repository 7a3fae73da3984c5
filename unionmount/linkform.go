package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
)

// convertLink replaces a symbolic link on disk by a file that stands for it, if the change in gives it another owner
// than root: a link on disk can only be root's. shared says that the link gets other names or xattrs: then it is
// replaced in any case, because all names must lead to the file.
func (u *Union) convertLink(n *Node, in SetAttr, shared bool) error {
	if n.kind != unix.S_IFLNK || in.UID == nil && in.GID == nil && !shared {
		return nil
	}
	for {
		l, named := u.anyLink(n)
		if !named {
			return nil
		}
		done, err := u.convertLinkAt(n, l, in, shared)
		if done || err != nil {
			return n.fault("change form of", err)
		}
	}
}

func (u *Union) convertLinkAt(n *Node, l link, in SetAttr, shared bool) (done bool, err error) {
	l.parent.entries.Lock()
	defer l.parent.entries.Unlock()
	n.meta.Lock()
	defer n.meta.Unlock()
	if now, _ := u.anyLink(n); now != l {
		return false, nil
	}
	st, err := u.statBacking(n)
	id := in.apply(n.stat)
	mode := u.upper.Policy.Backing(id)
	if shared {
		mode = u.upper.Copied(id)
	}
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK || mode&unix.S_IFMT == unix.S_IFLNK {
		return true, err
	}
	return true, u.replaceLink(n, l, id, mode, &st)
}

func (u *Union) replaceLink(n *Node, l link, id layerfmt.Stat, mode uint32, st *unix.Stat_t) error {
	target, err := u.linkTarget(n)
	if err != nil {
		return err
	}
	g, err := u.quota.ReserveFile()
	if err != nil {
		return err
	}
	defer g.Release()
	d := u.newDraft()
	defer d.discard()
	if err := d.makeAs(mode, id, target); err != nil {
		return err
	}
	if err := u.setOrigin(n, d.fd); err != nil {
		return err
	}
	if err := sys.SetTimes(d.fd, st.Atim, st.Mtim); err != nil {
		return err
	}
	if err := u.reserveIno(n); err != nil {
		return err
	}
	if err := u.publishCopy(d, l); err != nil {
		return err
	}
	n.stat = id
	u.fds.Drop(n.fdKey(fdcache.Upper))
	u.mu.Lock()
	delete(u.byFile, n.upperKey)
	u.mu.Unlock()
	n.account.LeaveBehind()
	u.switchToUpper(n, d, nil, false)
	u.settleAll(n, l.parent)
	return nil
}

// reserveIno links the symbolic link that is about to be replaced into the index, so that no other file gets the
// inode number that the replacement shows. Meta of n is held.
func (u *Union) reserveIno(n *Node) error {
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	err = unix.Linkat(h.FD, "", u.work.Index, workdir.HeldName(n.ino), unix.AT_EMPTY_PATH)
	if err == unix.ENOENT { // what AT_EMPTY_PATH gives users without privileges
		path := beneath.ProcPath(h.FD)
		err = unix.Linkat(unix.AT_FDCWD, path, u.work.Index, workdir.HeldName(n.ino), unix.AT_SYMLINK_FOLLOW)
	}
	if err == unix.EEXIST {
		return nil
	}
	return err
}

// releaseIno undoes reserveIno when the last name of the replacement, found as o, is gone. Most links have nothing
// there.
func (u *Union) releaseIno(n *Node, o *object) {
	st := &o.top.Stat
	if n.kind == unix.S_IFLNK && o.presentIn() == presentFile && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 1 {
		u.dropIndexed(workdir.HeldName(n.ino))
	}
}

// dropIndexed removes a file from the index, and stops charging it if that was its last name. The file may be
// missing.
func (u *Union) dropIndexed(name string) {
	var before unix.Stat_t
	if u.quota != nil {
		before, _ = beneath.Stat(u.work.Index, name)
	}
	if unix.Unlinkat(u.work.Index, name, 0) == nil && before.Nlink == 1 {
		u.quota.Charge(quota.Usage{}.Minus(quota.UsageOf(&before)))
	}
}
