package unionmount

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// capState is what is known of a file's capabilities.
type capState uint8

const (
	capsUnknown capState = iota
	capsNone
)

// checkXattr returns EOPNOTSUPP for names of unknown namespaces, as filesystems do.
func checkXattr(name string) error {
	namespace, rest, ok := strings.Cut(name, ".")
	switch {
	case !ok || !slices.Contains([]string{"user", "trusted", "security", "system"}, namespace):
		return unix.EOPNOTSUPP
	case rest == "":
		return unix.EINVAL
	case namespace == "system" && !encoding.IsACL(name):
		return unix.EOPNOTSUPP
	}
	return nil
}

// GetXattr returns the value of an extended attribute; ENODATA when there is none of the name.
func (u *Union) GetXattr(n *Node, name string) ([]byte, error) {
	if err := checkXattr(name); err != nil {
		return nil, err
	}
	n.meta.RLock()
	defer n.meta.RUnlock()
	value, err := u.getXattr(n, name)
	if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, n.fault("read xattr "+name+" of", err)
	}
	return value, err
}

// getXattr is GetXattr for a caller that holds meta.
func (u *Union) getXattr(n *Node, name string) ([]byte, error) {
	if n.bare || !u.mayHaveXattrs(n) || name == encoding.CapsXattr && n.caps == capsNone {
		return nil, unix.ENODATA
	}
	if k := n.known(); k != nil {
		return k.xattr(name)
	}
	h, err := u.backing(n, n.firstSlot())
	if err != nil {
		return nil, err
	}
	defer u.fds.Release(h)
	disk := n.topLayer().DiskXattr(name)
	if _, visible := n.topLayer().SeenXattr(disk); !visible {
		return nil, unix.ENODATA
	}
	value, err := n.topLayer().Xattrs.Read(beneath.File{FD: h.FD}, disk)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES) && n.firstSlot() >= 0 {
		err = unix.ENODATA
	}
	return n.topLayer().SeenValue(name, value), err
}

// mayHaveXattrs tells whether there is a backing file that can have xattrs.
func (u *Union) mayHaveXattrs(n *Node) bool {
	if n.inUpper.Load() {
		return true
	}
	return n.foreign == nil
}

// ListXattr returns the names of all extended attributes.
func (u *Union) ListXattr(n *Node) ([]string, error) {
	n.meta.RLock()
	defer n.meta.RUnlock()
	names, err := u.listXattr(n)
	return names, n.fault("list xattrs of", err)
}

// listXattr is ListXattr for a caller that holds meta.
func (u *Union) listXattr(n *Node) ([]string, error) {
	if n.bare || !u.mayHaveXattrs(n) {
		return nil, nil
	}
	if k := n.known(); k != nil {
		return k.xattrNames(), nil
	}
	h, err := u.backing(n, n.firstSlot())
	if err != nil {
		return nil, err
	}
	defer u.fds.Release(h)
	l := n.topLayer()
	disk, err := l.Xattrs.List(beneath.File{FD: h.FD})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range disk {
		if seen, ok := l.SeenXattr(name); ok {
			names = append(names, seen)
		}
	}
	return names, nil
}

// SetXattr sets an extended attribute; flags may hold unix.XATTR_CREATE, unix.XATTR_REPLACE or XattrKillSgid.
func (u *Union) SetXattr(n *Node, name string, value []byte, flags int) error {
	if err := checkXattr(name); err != nil {
		return err
	}
	g, err := u.quota.ReserveXattr(value)
	if err != nil {
		return n.fault("change xattr "+name+" of", err)
	}
	defer g.Release()
	return u.changeXattr(n, name, func(fd int) error {
		if encoding.IsACL(name) {
			return u.setACL(n, fd, name, value, flags)
		}
		if name == encoding.CapsXattr && !u.upper.HostOwned {
			value = encoding.CapsOfRoot(value)
		}
		return u.upper.Xattrs.Set(fd, u.upper.DiskXattr(name), string(value), flags&^XattrKillSgid)
	})
}

// RemoveXattr removes an extended attribute; ENODATA when there is none of the name.
func (u *Union) RemoveXattr(n *Node, name string) error {
	if encoding.IsACL(name) {
		return u.SetXattr(n, name, nil, 0)
	}
	if _, err := u.GetXattr(n, name); err != nil {
		return err
	}
	return u.changeXattr(n, name, func(fd int) error { return u.upper.Xattrs.Remove(fd, u.upper.DiskXattr(name)) })
}

// changeXattr copies n up and calls change with its backing file.
func (u *Union) changeXattr(n *Node, name string, change func(fd int) error) error {
	if n.kind == unix.S_IFLNK && u.upper != nil && !u.linkTakes(name) {
		return unix.EOPNOTSUPP // before a copy is made for nothing
	}
	if err := u.copyUp(n, contentBelow); err != nil {
		return err
	}
	if err := u.convertLink(n, SetAttr{}, true); err != nil {
		return err
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	defer n.account.Settle(h.FD, &quota.Grant{})
	n.bare = false
	if name == encoding.CapsXattr {
		n.caps = capsUnknown
	}
	err = sys.Owning(h.FD, func() error { return change(h.FD) })
	if err == nil {
		err = u.upper.Xattrs.Changed(h.FD)
	}
	if err == unix.ENODATA || err == unix.EEXIST {
		return err
	}
	return n.fault("change xattr "+name+" of", err)
}

// linkTakes tells whether a symbolic link can be given an xattr. If a link stands for it on disk, the xattr must not
// be stored as a user's, because Linux knows those of files and directories only.
func (u *Union) linkTakes(name string) bool {
	if encoding.CarriesXattrs(u.upper.Copied(layerfmt.Stat{Mode: unix.S_IFLNK})) {
		return true
	}
	return !strings.HasPrefix(u.upper.DiskXattr(name), "user.")
}

// dropCaps removes the file capabilities of n, whose backing file in the upper is behind fd. Meta of n is held.
func (u *Union) dropCaps(n *Node, fd int) error {
	if n.caps == capsNone || n.kind != unix.S_IFREG {
		return nil
	}
	err := u.upper.Xattrs.Remove(fd, u.upper.DiskXattr(encoding.CapsXattr))
	if err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP && err != unix.EPERM {
		return err
	}
	n.caps = capsNone // with EPERM, too: for a process that may not drop them, the kernel drops them when it writes
	return nil
}
