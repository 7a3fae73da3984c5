package unionmount

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// convertLink replaces a symbolic link on disk by the file that stands for a link with another owner than root, if
// that is what in makes of it. A link that is to have other names becomes one before, so that they go along.
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
	mode := u.upper.policy.backing(id)
	if shared {
		mode = u.upper.copied(id)
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
	g, err := u.quota.entry()
	if err != nil {
		return err
	}
	defer g.release()
	d := u.newDraft()
	defer d.discard()
	if err := d.makeAs(mode, id, target); err != nil {
		return err
	}
	if err := u.setOrigin(n, d.fd); err != nil {
		return err
	}
	if err := setTimes(d.fd, st.Atim, st.Mtim); err != nil {
		return err
	}
	if err := u.reserveIno(n); err != nil {
		return err
	}
	if err := u.publishCopy(d, l); err != nil {
		return err
	}
	n.stat = id
	u.fds.drop(fdKey{n, slotUpper})
	u.mu.Lock()
	delete(u.byFile, n.upperKey)
	u.mu.Unlock()
	n.account.leaveBehind()
	u.switchToUpper(n, d, nil, false)
	u.settleAll(n, l.parent)
	return nil
}

// reservedName returns the name in the index under which a link that was replaced goes on to exist, so that no other file
// gets the inode number that its replacement shows.
func reservedName(ino uint64) string { return "ino-" + strconv.FormatUint(ino, 10) }

// reserveIno gives the link that is about to be replaced that name. Meta of n is held.
func (u *Union) reserveIno(n *Node) error {
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	err = unix.Linkat(h.fd, "", u.stage.index, reservedName(n.ino), unix.AT_EMPTY_PATH)
	if err == unix.ENOENT { // what users without privileges are told of AT_EMPTY_PATH
		err = unix.Linkat(unix.AT_FDCWD, beneath.ProcPath(h.fd), u.stage.index, reservedName(n.ino), unix.AT_SYMLINK_FOLLOW)
	}
	if err == unix.EEXIST {
		return nil
	}
	return err
}

// releaseIno takes it away when the last name of the replacement, found as o, is gone. That there is none is usual.
func (u *Union) releaseIno(n *Node, o *object) {
	if n.kind == unix.S_IFLNK && o.presentIn() == presentFile && o.top.st.Mode&unix.S_IFMT == unix.S_IFREG && o.top.st.Nlink == 1 {
		u.dropIndexed(reservedName(n.ino))
	}
}

// dropIndexed removes a file from the index, whose last name that is or none, and charges it no more.
func (u *Union) dropIndexed(name string) {
	var before unix.Stat_t
	if u.quota != nil {
		before, _ = statAt(u.stage.index, name)
	}
	if unix.Unlinkat(u.stage.index, name, 0) == nil && before.Nlink == 1 {
		u.quota.charge(usage{}.minus(usageOf(&before)))
	}
}
