package encoding

import (
	"iter"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// Policy is how the files of a tree stand for the entries of a layer: where owner, mode, device and xattrs are kept.
// All code that reads or writes those asks the policy. Everything else in a layer is the same for all policies.
type Policy interface {
	// FromStat returns the identity of an entry whose file says all of it on its own.
	FromStat(st *unix.Stat_t) layerfmt.Stat
	// IdentityXattr is the name of the xattr that says more of the identity, or "" if none does.
	IdentityXattr() string
	// Decode returns the identity of an entry by the value of that xattr.
	Decode(value string, st *unix.Stat_t) (layerfmt.Stat, error)
	// Backing returns the type and permissions, as in st_mode, of the file of an entry.
	Backing(id layerfmt.Stat) uint32
	// Copied is Backing for the copy of a lower entry. The copy must carry an xattr, if some file that can stand for
	// it does.
	Copied(id layerfmt.Stat) uint32
	// AtOnce tells whether a file that is made with Backing stands for the entry without a further step.
	AtOnce(id layerfmt.Stat) bool
	// Identify makes the new file behind fd, which has attributes st, stand for id.
	Identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error
	// Change makes the file behind fd stand for want instead of *have, which it sets to want.
	Change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error
	// Refer returns the reference to what an entry of the upper has below, or nil if the upper must have all of it.
	// below are the numbers of the layers, as in layerfmt.Below, and the paths in them, the nearest first; at least
	// one.
	Refer(below iter.Seq2[int, string], dir bool) *Reference
	// Marks returns the xattrs that note a reference, in the order in which they are set.
	Marks(ref *Reference, dir bool) []Mark
	// LeastBorrowed is the size of the smallest file that refers to another for its data.
	LeastBorrowed() int64
	// OverlayPrefix is the prefix of the xattrs by which the kernel's overlay refers to layers below, or "" if they
	// do not count.
	OverlayPrefix() string
	// XattrsAreOurs tells whether all xattrs that a container sees were set through the union: the host gives files
	// none.
	XattrsAreOurs() bool
	// DiskXattr returns the name on disk of an xattr that the container calls name.
	DiskXattr(name string) string
	// SeenXattr is its inverse. ok is false for an xattr that no container sees.
	SeenXattr(disk string) (name string, ok bool)
	// DiskValue returns the value on disk for a value that the container sets.
	DiskValue(name string, value []byte) []byte
	// SeenValue is its inverse.
	SeenValue(name string, value []byte) []byte
	// MakeOpaque marks the directory behind fd as opaque.
	MakeOpaque(fd int) error
}

// CarriesXattrs tells whether Linux lets a user set xattrs of a file of the given mode.
func CarriesXattrs(mode uint32) bool {
	return mode&unix.S_IFMT == unix.S_IFREG || mode&unix.S_IFMT == unix.S_IFDIR
}

// NewCallerOwned returns the policy of a CallerOwned tree whose xattrs are in a store.
func NewCallerOwned(xattrs Store) Policy { return callerOwned{xattrs} }

// callerOwned keeps everything as package layerfmt says, in files of one user.
type callerOwned struct{ xattrs Store }

func (callerOwned) FromStat(st *unix.Stat_t) layerfmt.Stat {
	return layerfmt.Stat{Mode: st.Mode, Rdev: st.Rdev}
}

func (callerOwned) IdentityXattr() string { return layerfmt.StatXattr }

func (callerOwned) Decode(value string, st *unix.Stat_t) (layerfmt.Stat, error) {
	return layerfmt.Decode(value, st.Mode)
}

func (callerOwned) Backing(id layerfmt.Stat) uint32 {
	return id.BackingType() | layerfmt.BackingPerm(id.Mode)
}

// Copied lets a file stand for a link, even if a link could.
func (p callerOwned) Copied(id layerfmt.Stat) uint32 {
	if id.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.S_IFREG | layerfmt.BackingPerm(id.Mode)
	}
	return p.Backing(id)
}

// needsXattr tells whether a file on disk, if it is not a link itself, needs the xattr to stand for id.
func (callerOwned) needsXattr(id layerfmt.Stat) bool {
	return id.NeedsXattr() || id.Mode&unix.S_IFMT == unix.S_IFLNK
}

func (callerOwned) AtOnce(id layerfmt.Stat) bool { return !id.NeedsXattr() }

func (p callerOwned) Identify(fd int, st *unix.Stat_t, id layerfmt.Stat) error {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	if p.needsXattr(id) {
		if err := p.xattrs.Set(fd, layerfmt.StatXattr, id.Encode(), 0); err != nil {
			return err
		}
	}
	return FixPerm(fd, st, layerfmt.BackingPerm(id.Mode))
}

// Change sets the xattr first, because with it the bits on disk do not show. An xattr that is no longer needed is
// removed last: otherwise later changes that need none would not show. A link on disk has nothing to change but its
// ctime, because the union replaces it by a file before its owner changes.
func (p callerOwned) Change(fd int, have *layerfmt.Stat, want layerfmt.Stat) error {
	st, err := sys.Stat(fd)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return setPerm(fd, st.Mode)
	}
	had, needs := p.needsXattr(*have), p.needsXattr(want)
	if *have != want && (had || needs) {
		if err := p.xattrs.Set(fd, layerfmt.StatXattr, want.Encode(), 0); err != nil {
			return err
		}
	}
	// Also when the bits are the same, because the ctime changes.
	if err := beneath.Chmod(fd, layerfmt.BackingPerm(want.Mode)); err != nil {
		return err
	}
	if had && !needs {
		if err := p.xattrs.Remove(fd, layerfmt.StatXattr); err != nil {
			return err
		}
	}
	*have = want
	return nil
}

// Refer names the layers. Those that are merged have the directory at one path, unless they are another overlay's.
func (callerOwned) Refer(below iter.Seq2[int, string], _ bool) *Reference {
	b := &layerfmt.Below{}
	for depth, path := range below {
		if len(b.Layers) > 0 && path != b.Path {
			return nil
		}
		b.Layers, b.Path = append(b.Layers, depth), path
	}
	return &Reference{Exact: b}
}

// Marks has a directory be opaque besides, to readers that do not know the reference.
func (callerOwned) Marks(ref *Reference, dir bool) []Mark {
	value := ""
	if ref.Exact != nil {
		value = ref.Exact.Encode()
	}
	if dir {
		return []Mark{{layerfmt.RedirectXattr, value}, {layerfmt.OpaqueXattr, "y"}}
	}
	return []Mark{{layerfmt.DataXattr, value}}
}

func (callerOwned) LeastBorrowed() int64 { return 1 }

func (callerOwned) OverlayPrefix() string { return "" }

func (callerOwned) XattrsAreOurs() bool { return true }

func (callerOwned) DiskXattr(name string) string { return layerfmt.EscapeXattr(name) }

func (callerOwned) SeenXattr(disk string) (string, bool) { return layerfmt.UnescapeXattr(disk) }

func (callerOwned) DiskValue(_ string, value []byte) []byte { return value }

func (callerOwned) SeenValue(_ string, value []byte) []byte { return value }

func (p callerOwned) MakeOpaque(fd int) error { return p.xattrs.Set(fd, layerfmt.OpaqueXattr, "y", 0) }

// FixPerm gives the file behind fd the permission bits of mode where making it did not, for the umask or a setgid
// directory.
func FixPerm(fd int, st *unix.Stat_t, mode uint32) error {
	if st.Mode&0o7777 == mode&0o7777 {
		return nil
	}
	return beneath.Chmod(fd, mode&0o7777)
}
