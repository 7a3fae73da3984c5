package unionmount

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/idmap"
)

// Ownership says how the owner, mode and type of a layer's entries are found.
type Ownership string

const (
	// CallerOwned trees are encoded as package layerfmt says.
	CallerOwned Ownership = "caller"
	// HostOwned trees are ordinary directories of the host: real ids, translated by the layer's maps. Other overlay
	// filesystems read and write such trees.
	HostOwned Ownership = "host"
)

// Layer is one directory tree. It crosses process boundaries as JSON.
type Layer struct {
	Dir       string    `json:"dir"`
	Ownership Ownership `json:"ownership"`
	// Index is the path of the index of a CallerOwned lower layer, as package layerindex has it. The tree itself is read
	// where there is none or it is of another tree.
	Index string `json:"index,omitempty"`
	// Plain says that the tree of a CallerOwned lower consists of plain files, what they stand for being in the Index
	// alone. Without that, it cannot be read.
	Plain bool `json:"plain,omitempty"`
	// Side is the path of the record, as package xattrlog has it, in which the xattrs of a CallerOwned lower are that was an
	// upper with SideXattrs; empty when its files have them.
	Side string `json:"side,omitempty"`

	// The following are of HostOwned layers.

	UIDs idmap.Map `json:"uids,omitempty"`
	GIDs idmap.Map `json:"gids,omitempty"`
	// Unmapped is the id that stands for those which the maps do not show. Root, so that programs in a container meet
	// root's files rather than nobody's, unless it is set.
	Unmapped uint32 `json:"unmapped,omitempty"`
	// StatXattr is the xattr in which every entry is to have its owner and mode, as fuse-overlayfs keeps them where it
	// may not set them: one of layerfmt.StatXattrs. One that the root has already comes first.
	StatXattr string `json:"statXattr,omitempty"`
	// Follow has references to the layers below followed that the kernel's overlay notes, or a union with the following
	// two: of renamed directories, and of files that have no data.
	Follow bool `json:"follow,omitempty"`
	// Redirect and Metacopy, of an upper, have renamed directories and files of which only attributes or names were
	// changed refer to the layers below as the kernel's overlay has it. Otherwise they are copied: fuse-overlayfs follows
	// no references, and the kernel only those that root has made.
	Redirect bool `json:"redirect,omitempty"`
	Metacopy bool `json:"metacopy,omitempty"`
}

// Options describe a Union.
type Options struct {
	// Lowers are the read-only layers, the nearest first. At least one, or an Upper, which refers to them by their
	// number from the lowest, by inode numbers and by paths: an Upper is always given the same ones.
	Lowers []Layer `json:"lowers"`
	// Upper is the directory that takes all changes, CallerOwned unless UpperAs says else; empty for a read-only Union.
	// Its root directory must exist.
	Upper string `json:"upper,omitempty"`
	// UpperAs, if not nil, describes the upper like a layer; its Dir is not used.
	UpperAs *Layer `json:"upperAs,omitempty"`
	// Work is an existing directory on the same filesystem as Upper, for nothing but this Union. It belongs to
	// Upper: it holds its index of hard links. Required with Upper.
	Work string `json:"work,omitempty"`
	// SideXattrs keeps the xattrs of a new CallerOwned upper in Work, as package xattrlog has them, also where the
	// filesystem has user xattrs; where it has none, that is so without it. An upper keeps the form that it was made in.
	SideXattrs bool `json:"sideXattrs,omitempty"`
	// StaticNlink shows 1 as the link count of all directories.
	StaticNlink bool `json:"staticNlink,omitempty"`
	// Ino32 shows inode numbers of 32 bits, for programs that know no others. Two files may then have the same.
	Ino32 bool `json:"ino32,omitempty"`
	// WhiteoutFiles has deletions marked by files (.wh.NAME) also where there can be devices.
	WhiteoutFiles bool `json:"whiteoutFiles,omitempty"`
	// Quota limits what the upper takes.
	Quota Quota `json:"quota,omitzero"`
	// Volatile lets fsync do nothing.
	Volatile bool `json:"volatile,omitempty"`
	// MaxFiles bounds the backing files kept open while they are not in use; 0 means half of RLIMIT_NOFILE. Files
	// deleted while they are still known to the kernel come on top.
	MaxFiles int `json:"maxFiles,omitempty"`
}

// Union is an open union of layers. All methods may be called from any number of goroutines.
type Union struct {
	opts   Options
	upper  *layer   // nil when read-only
	lowers []*layer // nearest first
	stage  *stage   // nil when read-only
	lock   int      // the work directory, locked; -1 when read-only
	fds    *fdCache
	root   *Node
	quota  *quota // nil where nothing is limited
	umask  uint32 // of the process: permissions that making a file does not give it

	redirected atomic.Bool // a lower was met whose directories refer to others by another path

	nextID  atomic.Uint64
	access  sync.Mutex // held while a file of the upper is made accessible for a moment
	copyUps atomic.Uint64
	atimes  atomic.Uint32 // AccessTimes

	diskLookups, indexLookups atomic.Uint64 // of a name in one layer

	// moving is held for writing while a rename changes the disk and Node.links, and for reading by those who missed
	// the one or the other. It is not held around anything else.
	moving sync.RWMutex

	mu     sync.Mutex           // guards what follows, Node.links, Node.lookups and Node.children
	byID   map[uint64]*Node     // nodes that were looked up more often than forgotten
	byFile map[backingKey]*Node // all nodes
}

// backingKey names a backing file. The layer is part of it because layers may overlap.
type backingKey struct {
	layer int // layer.depth
	ino   uint64
}

// Open opens the layers of a Union and removes what a crash left in the work directory. It raises the soft limit of
// open files to the hard one when opts leave MaxFiles to it.
func Open(opts Options) (_ *Union, err error) {
	if len(opts.Lowers) == 0 && opts.Upper == "" {
		return nil, errors.New("open union: no layers")
	}
	if opts.Upper != "" && opts.Work == "" {
		return nil, errors.New("open union: an upper directory needs a work directory")
	}
	u := &Union{opts: opts, lock: -1, byID: map[uint64]*Node{}, byFile: map[backingKey]*Node{}}
	defer func() {
		if err != nil {
			u.Close()
		}
	}()
	if u.fds, err = openFDCache(opts.MaxFiles); err != nil {
		return nil, fmt.Errorf("open union: %w", err)
	}
	if u.umask, err = readUmask(); err != nil {
		return nil, fmt.Errorf("open union: read umask: %w", err)
	}
	if err := u.openLayers(opts); err != nil {
		return nil, fmt.Errorf("open union: %w", err)
	}
	if err := u.inheritRoot(); err != nil {
		return nil, fmt.Errorf("open union: %w", err)
	}
	if err := u.openQuota(); err != nil {
		return nil, fmt.Errorf("open union: %w", err)
	}
	if err := u.openRoot(); err != nil {
		return nil, fmt.Errorf("open union: %w", err)
	}
	return u, nil
}

func openFDCache(max int) (*fdCache, error) {
	if max > 0 {
		return newFDCache(max), nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("read limit of open files: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return nil, fmt.Errorf("raise limit of open files: %w", err)
		}
	}
	const most = 32 << 10 // more would only hold kernel memory
	return newFDCache(int(min(limit.Cur/2, most))), nil
}

func (u *Union) openLayers(opts Options) (err error) {
	if opts.Upper != "" {
		upper := Layer{Ownership: CallerOwned}
		if opts.UpperAs != nil {
			upper = *opts.UpperAs
		}
		upper.Dir = opts.Upper
		if u.upper, err = openLayer(upper, 0); err != nil {
			return err
		}
		if u.lock, err = lockWork(opts.Work); err != nil {
			return err
		}
		u.upper.access = &u.access
		if u.stage, err = openStage(opts.Work, u.upper); err != nil {
			return err
		}
		u.stage.devices = u.stage.devices && !opts.WhiteoutFiles
		if err := u.upper.chooseXattrs(opts); err != nil {
			return err
		}
	}
	for i, l := range opts.Lowers {
		opened, err := openLayer(l, i+1)
		if err != nil {
			return err
		}
		opened.depth = len(opts.Lowers) - i
		u.lowers = append(u.lowers, opened)
	}
	return u.numberSpaces()
}

// openRoot makes the root node of the root directories of all layers down to the first opaque one.
func (u *Union) openRoot() error {
	o := object{}
	for _, l := range u.stack() {
		p, here, err := l.probeRoot()
		if err != nil {
			return err
		}
		if o.top == nil {
			o.top, o.topLayer = &p, l
		}
		if l == u.upper {
			o.inUpper = true
		} else {
			o.lowers = append(o.lowers, here)
			if o.lowerKey.ino == 0 {
				o.lowerKey = backingKey{l.depth, p.st.Ino}
			}
		}
		if p.opaque {
			break
		}
	}
	u.root = u.adopt(nil, "", &o)
	u.root.account.found(-1, &o.top.st)
	return nil
}

// inheritRoot gives the root directory of a new upper the attributes of the one it covers, as a copy-up would; that
// it has an origin tells that this was done. Of a HostOwned one it is left alone: there, whoever made it chose them.
func (u *Union) inheritRoot() error {
	if u.upper == nil || len(u.lowers) == 0 || u.upper.Ownership != CallerOwned {
		return nil
	}
	covering, _, err := u.upper.probeRoot()
	if err != nil || covering.origin.ino != 0 || covering.opaque {
		return err
	}
	nearest := u.lowers[0]
	covered, _, err := nearest.probeRoot()
	if err != nil {
		return err
	}
	if err := u.upper.policy.change(u.upper.root, &covering.id, covered.id); err != nil {
		return fault("set attributes of", u.upper, "/", err)
	}
	if err := setTimes(u.upper.root, covered.st.Atim, covered.st.Mtim); err != nil {
		return fault("set times of", u.upper, "/", err)
	}
	from := origin{ino: nearest.showIno(covered.st.Ino)}
	if from.born, err = birthOf(nearest.root); err != nil {
		return fault("stat", nearest, "/", err)
	}
	return fault("mark", u.upper, "/", u.upper.xattrs.set(u.upper.root, originXattr, from.encode(), 0))
}

// stack returns all layers, the topmost first.
func (u *Union) stack() []*layer {
	if u.upper == nil {
		return u.lowers
	}
	return append([]*layer{u.upper}, u.lowers...)
}

// Root returns the node of the root directory, which is never forgotten.
func (u *Union) Root() *Node { return u.root }

// Close closes all files. No operation may be under way or follow.
func (u *Union) Close() (err error) {
	u.forgetGone()
	if u.root != nil && u.quota != nil {
		err = u.stage.keepUsage(u.quota.toKeep())
	}
	if u.fds != nil {
		u.fds.close()
	}
	if u.stage != nil {
		u.stage.close()
	}
	if u.upper != nil {
		err = errors.Join(err, u.upper.xattrs.close())
		u.upper.close()
	}
	for _, l := range u.lowers {
		l.close()
	}
	if u.lock >= 0 {
		unix.Close(u.lock)
	}
	return err
}
