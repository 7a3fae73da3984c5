package unionmount

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// capsXattr holds file capabilities, which a change of the data or the owner drops.
const capsXattr = "security.capability"

// capState is what is known of a file's capabilities.
type capState uint8

const (
	capsUnknown capState = iota
	capsNone
)

// checkXattr refuses names of namespaces that there are not, as filesystems do: EOPNOTSUPP.
func checkXattr(name string) error {
	namespace, rest, ok := strings.Cut(name, ".")
	switch {
	case !ok || !slices.Contains([]string{"user", "trusted", "security", "system"}, namespace):
		return unix.EOPNOTSUPP
	case rest == "":
		return unix.EINVAL
	case namespace == "system" && !isACL(name):
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

// getXattr is GetXattr with meta held.
func (u *Union) getXattr(n *Node, name string) ([]byte, error) {
	if n.bare || !u.mayHaveXattrs(n) || name == capsXattr && n.caps == capsNone {
		return nil, unix.ENODATA
	}
	if k := n.known(); k != nil {
		return k.xattr(name)
	}
	h, err := u.backing(n, n.firstSlot())
	if err != nil {
		return nil, err
	}
	defer u.fds.release(h)
	disk := n.topLayer().diskXattr(name)
	if _, visible := n.topLayer().seenXattr(disk); !visible {
		return nil, unix.ENODATA
	}
	value, err := n.topLayer().xattrs.read(beneath.File{FD: h.fd}, disk)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES) && n.firstSlot() >= 0 {
		err = unix.ENODATA
	}
	return n.topLayer().seenValue(name, value), err
}

// mayHaveXattrs tells whether there is a backing file that can carry xattrs of a user.
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

// listXattr is ListXattr with meta held.
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
	defer u.fds.release(h)
	l := n.topLayer()
	disk, err := l.xattrs.list(beneath.File{FD: h.fd})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range disk {
		if seen, ok := l.seenXattr(name); ok {
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
	g, err := u.quota.reserve(u.quota.forXattr(value))
	if err != nil {
		return n.fault("change xattr "+name+" of", err)
	}
	defer g.release()
	return u.changeXattr(n, name, func(fd int) error {
		if isACL(name) {
			return u.setACL(n, fd, name, value, flags)
		}
		if name == capsXattr && u.upper.Ownership == CallerOwned {
			value = ofRoot(value)
		}
		return u.upper.xattrs.set(fd, u.upper.diskXattr(name), string(value), flags&^XattrKillSgid)
	})
}

// Sizes and revisions of struct vfs_cap_data and vfs_ns_cap_data (linux/capability.h), all little endian.
const (
	capsSize         = 20
	capsSizeOfRoot   = 24 // with the user id of the root to whose user namespaces the capabilities apply
	capsRevision     = 0x02000000
	capsRevisionRoot = 0x03000000
	capsRevisionMask = 0xff000000
)

// ofRoot returns file capabilities in the form without a root, if they have one that is user 0 of the mount. The kernel
// makes them of what the root of a user namespace below that of the mount sets. Both forms mean the same there, and the
// form without a root is what images have.
func ofRoot(value []byte) []byte {
	if len(value) != capsSizeOfRoot {
		return value
	}
	magic, root := binary.LittleEndian.Uint32(value), binary.LittleEndian.Uint32(value[capsSize:])
	if magic&capsRevisionMask != capsRevisionRoot || root != 0 {
		return value
	}
	plain := bytes.Clone(value[:capsSize])
	binary.LittleEndian.PutUint32(plain, magic&^capsRevisionMask|capsRevision)
	return plain
}

// RemoveXattr removes an extended attribute; ENODATA when there is none of the name.
func (u *Union) RemoveXattr(n *Node, name string) error {
	if isACL(name) {
		return u.SetXattr(n, name, nil, 0)
	}
	if _, err := u.GetXattr(n, name); err != nil {
		return err
	}
	return u.changeXattr(n, name, func(fd int) error { return u.upper.xattrs.remove(fd, u.upper.diskXattr(name)) })
}

// changeXattr has n in the upper and calls change with its backing file.
func (u *Union) changeXattr(n *Node, name string, change func(fd int) error) error {
	if n.kind == unix.S_IFLNK && u.upper != nil && !u.linkTakes(name) {
		return unix.EOPNOTSUPP // before there is a copy that shows no change
	}
	if err := u.copyUp(n, contentBelow); err != nil {
		return err
	}
	if err := u.convertLink(n, SetAttr{}, true); err != nil {
		return err
	}
	n.meta.Lock()
	defer n.meta.Unlock()
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	defer u.settle(n, h.fd, &grant{})
	n.bare = false
	if name == capsXattr {
		n.caps = capsUnknown
	}
	err = owning(h.fd, func() error { return change(h.fd) })
	if err == nil {
		err = u.upper.xattrs.changed(h.fd)
	}
	if err == unix.ENODATA || err == unix.EEXIST {
		return err
	}
	return n.fault("change xattr "+name+" of", err)
}

// linkTakes tells whether a symbolic link can be given an xattr. Where a link stands for it on disk, that is one that is
// not stored as a user's, because those Linux knows of files and directories only.
func (u *Union) linkTakes(name string) bool {
	return carriesXattrs(u.upper.copied(layerfmt.Stat{Mode: unix.S_IFLNK})) || !strings.HasPrefix(u.upper.diskXattr(name), "user.")
}

// dropCaps removes the file capabilities of n, whose backing file in the upper is behind fd. Meta of n is held.
func (u *Union) dropCaps(n *Node, fd int) error {
	if n.caps == capsNone || n.kind != unix.S_IFREG {
		return nil
	}
	err := u.upper.xattrs.remove(fd, u.upper.diskXattr(capsXattr))
	if err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP && err != unix.EPERM {
		return err
	}
	n.caps = capsNone // with EPERM, too: for a process that may not drop them, the kernel drops them when it writes
	return nil
}
