package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
)

// Caller is the process that changes a file. It decides which of the suid and sgid bits the change drops. Every
// change drops file capabilities.
type Caller struct {
	UID uint32
	GID uint32 // the only one of the caller's groups that is known
	// Privileged says that the caller has CAP_FSETID on the host. A change of data then leaves the bits alone.
	Privileged bool
}

// strip returns the mode of a file without the bits that a change of its owner drops, or a change of its data by an
// unprivileged caller: suid and sgid. If the group may not execute the file, sgid stays for root and members of the
// group. Supplementary groups of the caller are not known here, so sgid may be dropped for a member: that is the
// safer mistake.
func (c Caller) strip(id layerfmt.Stat) uint32 {
	if id.Mode&unix.S_IFMT == unix.S_IFDIR {
		return id.Mode
	}
	mode := id.Mode &^ unix.S_ISUID
	if mode&unix.S_IXGRP != 0 || c.UID != 0 && c.GID != id.GID {
		mode &^= unix.S_ISGID
	}
	return mode
}

// stripData is strip for a change of data.
func (c Caller) stripData(id layerfmt.Stat) uint32 {
	if c.Privileged {
		return id.Mode
	}
	return c.strip(id)
}

// Privileged tells whether a file has suid or sgid bits, which a write may drop.
func (n *Node) Privileged() bool {
	n.meta.RLock()
	defer n.meta.RUnlock()
	return !n.isDir() && n.stat.Mode&(unix.S_ISUID|unix.S_ISGID) != 0
}

// dropPriv drops the bits and capabilities that a change of data drops.
func (u *Union) dropPriv(n *Node, by Caller) error {
	n.meta.RLock()
	nothing := n.caps == capsNone && by.stripData(n.stat) == n.stat.Mode
	n.meta.RUnlock()
	if nothing {
		return nil
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	if err := u.dropCaps(n, h.FD); err != nil {
		return err
	}
	id := n.stat
	id.Mode = by.stripData(id)
	if id == n.stat {
		return nil
	}
	return u.upper.Change(h.FD, &n.stat, id)
}
