package unionmount

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// policy is how the files of a tree stand for the entries of a layer: where owner, mode, device and xattrs are kept.
// All that reads or writes those asks it; whatever else happens in a layer is the same for all policies.
type policy interface {
	// plain returns the identity of an entry whose file says all of it.
	plain(st *unix.Stat_t) layerfmt.Stat
	// statXattr is the name of the xattr that says more, "" where none does.
	statXattr() string
	// decode returns the identity of an entry by the value of that xattr.
	decode(value string, st *unix.Stat_t) (layerfmt.Stat, error)
	// backing returns the type and permissions, as in st_mode, that the file of an entry has.
	backing(id layerfmt.Stat) uint32
	// copied is backing for the copy of a lower entry, which is to carry an xattr if any file that stands for it can.
	copied(id layerfmt.Stat) uint32
	// atOnce tells whether a file made with these stands for the entry without more being done to it.
	atOnce(id layerfmt.Stat) bool
	// identify makes the file behind fd, just made and with attributes st, stand for id.
	identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error
	// change makes the file behind fd stand for want instead of *have, and notes it there.
	change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error
	// refer returns the reference to what an entry of the upper has below, nil where it must have all of it itself.
	refer(below []place, dir bool) *reference
	// marks returns the xattrs that note a reference, in the order in which they are set.
	marks(ref *reference, dir bool) []xattrMark
	// leastBorrowed is the size of the smallest file that refers to another for its data.
	leastBorrowed() int64
	// overlayPrefix starts the xattrs by which the kernel's overlay refers to layers below, where those count; else it
	// is "".
	overlayPrefix() string
	// xattrsAreOurs tells that what is seen as an xattr is there because it was set here: the host gives files none.
	xattrsAreOurs() bool
	// diskXattr returns the name under which an xattr is stored that the container calls name.
	diskXattr(name string) string
	// seenXattr is its inverse; ok is false for what no container sees.
	seenXattr(disk string) (name string, ok bool)
	// diskValue returns what is stored as the value of an xattr that the container gives one.
	diskValue(name string, value []byte) []byte
	// seenValue is its inverse.
	seenValue(name string, value []byte) []byte
	// makeOpaque marks the directory behind fd.
	makeOpaque(fd int) error
}

func newPolicy(l *Layer, root int) (policy, error) {
	switch l.Ownership {
	case CallerOwned:
		return callerOwned{diskXattrs{}}, nil
	case HostOwned:
		h := hostOwned{uids: l.UIDs, gids: l.GIDs, unmapped: l.Unmapped, self: Owner{uint32(os.Geteuid()), uint32(os.Getegid())},
			redirect: l.Redirect, metacopy: l.Metacopy, prefix: overlayPrefix(l)}
		err := claimStatXattr(l, root, h)
		if err != nil || l.StatXattr == "" {
			return h, err
		}
		return annotated{hostOwned: h, xattr: l.StatXattr}, nil
	}
	return nil, fmt.Errorf("layer %s: unknown ownership %q", l.Dir, l.Ownership)
}

// carriesXattrs tells whether Linux lets a user give xattrs to a file of the given mode.
func carriesXattrs(mode uint32) bool {
	return mode&unix.S_IFMT == unix.S_IFREG || mode&unix.S_IFMT == unix.S_IFDIR
}

// callerOwned keeps everything as package layerfmt says, in files of the caller's.
type callerOwned struct{ xattrs xattrs }

func (callerOwned) plain(st *unix.Stat_t) layerfmt.Stat {
	return layerfmt.Stat{Mode: st.Mode, Rdev: st.Rdev}
}

func (callerOwned) statXattr() string { return layerfmt.StatXattr }

func (callerOwned) decode(value string, st *unix.Stat_t) (layerfmt.Stat, error) {
	return layerfmt.Decode(value, st.Mode)
}

func (callerOwned) backing(id layerfmt.Stat) uint32 {
	return id.BackingType() | layerfmt.BackingPerm(id.Mode)
}

// copied has a file stand for a link, also for one that could be a link.
func (p callerOwned) copied(id layerfmt.Stat) uint32 {
	if id.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.S_IFREG | layerfmt.BackingPerm(id.Mode)
	}
	return p.backing(id)
}

// needsXattr tells whether a file on disk, if it is not a link itself, needs the xattr to stand for id.
func (callerOwned) needsXattr(id layerfmt.Stat) bool {
	return id.NeedsXattr() || id.Mode&unix.S_IFMT == unix.S_IFLNK
}

func (callerOwned) atOnce(id layerfmt.Stat) bool { return !id.NeedsXattr() }

func (p callerOwned) identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	if p.needsXattr(id) {
		if err := p.xattrs.set(fd, layerfmt.StatXattr, id.Encode(), 0); err != nil {
			return err
		}
	}
	return fixPerm(fd, st, layerfmt.BackingPerm(id.Mode))
}

// change sets the xattr first: with it, the bits on disk do not show. One that is needed no longer is removed last, or
// later changes that need none would not show. A link on disk has nothing to change but its ctime: see convertLink.
func (p callerOwned) change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error {
	st, err := statFD(fd)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return setPerm(fd, st.Mode)
	}
	had, needs := p.needsXattr(*have), p.needsXattr(want)
	if *have != want && (had || needs) {
		if err := p.xattrs.set(fd, layerfmt.StatXattr, want.Encode(), 0); err != nil {
			return err
		}
	}
	if err := beneath.Chmod(fd, layerfmt.BackingPerm(want.Mode)); err != nil { // also when it is the same: the ctime changes
		return err
	}
	if had && !needs {
		if err := p.xattrs.remove(fd, layerfmt.StatXattr); err != nil {
			return err
		}
	}
	*have = want
	return nil
}

// refer names the layers. Those that are merged have the directory at one path, unless they are another overlay's.
func (callerOwned) refer(below []place, _ bool) *reference {
	b := &layerfmt.Below{Path: below[0].full()}
	for _, p := range below {
		if p.full() != b.Path {
			return nil
		}
		b.Layers = append(b.Layers, p.layer.depth)
	}
	return &reference{exact: b}
}

// marks has a directory be opaque besides, to readers that do not know the reference.
func (callerOwned) marks(ref *reference, dir bool) []xattrMark {
	value := ""
	if ref.exact != nil {
		value = ref.exact.Encode()
	}
	if dir {
		return []xattrMark{{layerfmt.RedirectXattr, value}, {layerfmt.OpaqueXattr, "y"}}
	}
	return []xattrMark{{layerfmt.DataXattr, value}}
}

func (callerOwned) leastBorrowed() int64 { return 1 }

func (callerOwned) overlayPrefix() string { return "" }

func (callerOwned) xattrsAreOurs() bool { return true }

func (callerOwned) diskXattr(name string) string { return layerfmt.EscapeXattr(name) }

func (callerOwned) seenXattr(disk string) (string, bool) { return layerfmt.UnescapeXattr(disk) }

func (callerOwned) diskValue(_ string, value []byte) []byte { return value }

func (callerOwned) seenValue(_ string, value []byte) []byte { return value }

func (p callerOwned) makeOpaque(fd int) error { return p.xattrs.set(fd, layerfmt.OpaqueXattr, "y", 0) }

// fixPerm gives the file behind fd the permission bits of mode where making it did not, for the umask or a setgid
// directory.
func fixPerm(fd int, st *unix.Stat_t, mode uint32) error {
	if st.Mode&0o7777 == mode&0o7777 {
		return nil
	}
	return beneath.Chmod(fd, mode&0o7777)
}
