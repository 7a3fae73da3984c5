package unionmount

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
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
	// Index is the path of the index of a CallerOwned lower layer (package layerindex). Where there is none, or it is
	// of another tree, the tree itself is read.
	Index string `json:"index,omitempty"`
	// Plain says that the tree of a CallerOwned lower consists of plain files, and that the Index alone says what
	// they stand for. Without the Index such a tree cannot be read.
	Plain bool `json:"plain,omitempty"`
	// Side is the path of the record (package xattrlog) that has the xattrs of a CallerOwned lower which was an upper
	// with SideXattrs. It is empty if the files have the xattrs.
	Side string `json:"side,omitempty"`

	// The following are of HostOwned layers.

	UIDs idmap.Map `json:"uids,omitempty"`
	GIDs idmap.Map `json:"gids,omitempty"`
	// Unmapped is the id that is shown for ids that the maps do not have. The default is root, so that programs in a
	// container meet root's files rather than those of the user nobody.
	Unmapped uint32 `json:"unmapped,omitempty"`
	// StatXattr is the xattr in which every entry must have its owner and mode, as fuse-overlayfs keeps them where it
	// may not set them: one of layerfmt.StatXattrs. If the root of the tree has one of them already, that one is
	// used.
	StatXattr string `json:"statXattr,omitempty"`
	// Follow makes the Union follow references to the layers below: of renamed directories, and of files that have no
	// data. The kernel's overlay writes them, and so does a Union with Redirect and Metacopy.
	Follow bool `json:"follow,omitempty"`
	// Redirect, of an upper, makes renamed directories refer to the layers below, as the kernel's overlay does.
	// Metacopy does so for files of which only attributes or names were changed. Without these options they are
	// copied, because fuse-overlayfs follows no references, and the kernel follows only those that root has made.
	Redirect bool `json:"redirect,omitempty"`
	Metacopy bool `json:"metacopy,omitempty"`
}

// Options describe a Union.
type Options struct {
	// Lowers are the read-only layers, the nearest first. There must be at least one, or an Upper. An Upper refers to
	// them by their number from the lowest, by inode numbers and by paths, so it must always be given the same ones.
	Lowers []Layer `json:"lowers"`
	// Upper is the directory that takes all changes, CallerOwned unless UpperAs says otherwise; empty for a read-only
	// Union. Its root directory must exist.
	Upper string `json:"upper,omitempty"`
	// UpperAs, if not nil, describes the upper like a layer; its Dir is not used.
	UpperAs *Layer `json:"upperAs,omitempty"`
	// Work is an existing directory on the same filesystem as Upper, used by nothing else. It belongs to Upper, whose
	// index of hard links it holds. It is required with Upper.
	Work string `json:"work,omitempty"`
	// SideXattrs keeps the xattrs of a new CallerOwned upper in a record in Work (package xattrlog), also where the
	// filesystem has user xattrs. Where it has none, they are kept there in any case. An upper keeps the form that it
	// was made in.
	SideXattrs bool `json:"sideXattrs,omitempty"`
	// StaticNlink shows 1 as the link count of all directories.
	StaticNlink bool `json:"staticNlink,omitempty"`
	// Ino32 shows inode numbers of 32 bits, for programs that know no others. Two files may then have the same.
	Ino32 bool `json:"ino32,omitempty"`
	// WhiteoutFiles marks deletions by files (.wh.NAME) also where devices can be made.
	WhiteoutFiles bool `json:"whiteoutFiles,omitempty"`
	// Quota limits what the upper takes.
	Quota Quota `json:"quota,omitzero"`
	// Volatile makes fsync do nothing.
	Volatile bool `json:"volatile,omitempty"`
	// MaxFiles bounds the backing files that are kept open while they are not in use; 0 means half of RLIMIT_NOFILE.
	// Deleted files that the kernel still knows come on top.
	MaxFiles int `json:"maxFiles,omitempty"`
}

// Union is an open union of layers. All methods may be called from any number of goroutines.
type Union struct {
	opts   Options
	upper  *layer.Layer   // nil when read-only
	lowers []*layer.Layer // nearest first
	work   *workdir.Dir   // nil when read-only
	lock   int            // the work directory, locked; -1 when read-only
	fds    *fdcache.Cache
	root   *Node
	quota  *quota.Ledger // nil where nothing is limited
	umask  uint32        // of the process: permissions that making a file does not give it

	redirected atomic.Bool // a lower has a directory that refers to others by another path

	nextID  atomic.Uint64
	copyUps atomic.Uint64
	atimes  atomic.Uint32 // AccessTimes

	diskLookups, indexLookups atomic.Uint64 // of a name in one layer

	// moving is held for writing while a rename changes the disk and Node.links, and for reading by an open that
	// found the one without the other. It is not held around anything else.
	moving sync.RWMutex

	mu     sync.Mutex            // guards what follows, Node.links, Node.lookups and Node.children
	byID   map[uint64]*Node      // nodes that were looked up more often than forgotten
	byFile map[workdir.Key]*Node // all nodes
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
	u := &Union{opts: opts, lock: -1, byID: map[uint64]*Node{}, byFile: map[workdir.Key]*Node{}}
	defer func() {
		if err != nil {
			u.Close()
		}
	}()
	if u.fds, err = fdcache.Open(opts.MaxFiles); err != nil {
		return nil, fmt.Errorf("open union: %w", err)
	}
	if u.umask, err = sys.ReadUmask(); err != nil {
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

func (u *Union) openLayers(opts Options) (err error) {
	if opts.Upper != "" {
		upper := Layer{Ownership: CallerOwned}
		if opts.UpperAs != nil {
			upper = *opts.UpperAs
		}
		upper.Dir = opts.Upper
		if u.upper, err = upper.open(0, 0); err != nil {
			return err
		}
		if u.lock, err = workdir.Lock(opts.Work); err != nil {
			return err
		}
		if u.work, err = workdir.Open(opts.Work, u.upper.Dir, u.upper.Dev); err != nil {
			return err
		}
		u.work.Devices = u.work.Devices && !opts.WhiteoutFiles
		if err := u.upper.ChooseXattrs(opts.Work, opts.SideXattrs); err != nil {
			return err
		}
	}
	for i, l := range opts.Lowers {
		opened, err := l.open(i+1, len(opts.Lowers)-i)
		if err != nil {
			return err
		}
		u.lowers = append(u.lowers, opened)
	}
	return layer.NumberSpaces(u.stack())
}

// open opens the layer. index and depth are those of layer.Open.
func (l *Layer) open(index, depth int) (*layer.Layer, error) {
	if l.Ownership != CallerOwned && l.Ownership != HostOwned {
		return nil, fmt.Errorf("layer %s: unknown ownership %q", l.Dir, l.Ownership)
	}
	source := layer.Source{Dir: l.Dir, HostOwned: l.Ownership == HostOwned, Index: l.Index, Plain: l.Plain,
		Side: l.Side,
		HostTree: encoding.HostTree{UIDs: l.UIDs, GIDs: l.GIDs, Unmapped: l.Unmapped, StatXattr: l.StatXattr,
			Follow: l.Follow, Redirect: l.Redirect, Metacopy: l.Metacopy}}
	return layer.Open(source, index, depth)
}

// openRoot makes the root node of the root directories of all layers down to the first opaque one.
func (u *Union) openRoot() error {
	o := object{}
	for _, l := range u.stack() {
		p, here, err := l.ProbeRoot()
		if err != nil {
			return fault("examine", l, "/", err)
		}
		if o.top == nil {
			o.top, o.topLayer = &p, l
		}
		if l == u.upper {
			o.inUpper = true
		} else {
			o.lowers = append(o.lowers, here)
			if o.lowerKey.Ino == 0 {
				o.lowerKey = workdir.Key{Layer: l.Depth, Ino: p.Stat.Ino}
			}
		}
		if p.Opaque {
			break
		}
	}
	u.root = u.adopt(nil, "", &o)
	u.root.account.Found(-1, &o.top.Stat)
	return nil
}

// inheritRoot gives the root directory of a new upper the attributes of the one it covers, as a copy-up would. A root
// with an origin is not new. The root of a HostOwned upper keeps the attributes that its maker chose.
func (u *Union) inheritRoot() error {
	if u.upper == nil || len(u.lowers) == 0 || u.upper.HostOwned {
		return nil
	}
	covering, _, err := u.upper.ProbeRoot()
	if err != nil || covering.Origin.Ino != 0 || covering.Opaque {
		return fault("examine", u.upper, "/", err)
	}
	nearest := u.lowers[0]
	covered, _, err := nearest.ProbeRoot()
	if err != nil {
		return fault("examine", nearest, "/", err)
	}
	if err := u.upper.Policy.Change(u.upper.Root, &covering.ID, covered.ID); err != nil {
		return fault("set attributes of", u.upper, "/", err)
	}
	if err := sys.SetTimes(u.upper.Root, covered.Stat.Atim, covered.Stat.Mtim); err != nil {
		return fault("set times of", u.upper, "/", err)
	}
	from := workdir.Origin{Ino: nearest.ShowIno(covered.Stat.Ino)}
	if from.Born, err = sys.BirthOf(nearest.Root); err != nil {
		return fault("stat", nearest, "/", err)
	}
	return fault("mark", u.upper, "/", u.upper.Xattrs.Set(u.upper.Root, workdir.OriginXattr, from.Encode(), 0))
}

// stack returns all layers, the topmost first.
func (u *Union) stack() []*layer.Layer {
	if u.upper == nil {
		return u.lowers
	}
	return append([]*layer.Layer{u.upper}, u.lowers...)
}

// Root returns the node of the root directory, which is never forgotten.
func (u *Union) Root() *Node { return u.root }

// Close closes all files. No operation may be under way, and none may follow.
func (u *Union) Close() (err error) {
	u.forgetGone()
	if u.root != nil && u.quota != nil {
		err = u.work.KeepUsage(usageOf(u.quota.State()))
	}
	if u.fds != nil {
		u.fds.Close()
	}
	if u.work != nil {
		u.work.Close()
	}
	if u.upper != nil {
		err = errors.Join(err, u.upper.Xattrs.Close())
		u.upper.Close()
	}
	for _, l := range u.lowers {
		l.Close()
	}
	if u.lock >= 0 {
		unix.Close(u.lock)
	}
	return err
}

// Stats count what a Union did since it was opened.
type Stats struct {
	// CopyUps counts the files and directories that got a copy in the upper.
	CopyUps uint64 `json:"copyUps"`
	// CacheHits and CacheMisses count how often the descriptor of a backing file was open already, and how often not.
	CacheHits   uint64 `json:"cacheHits"`
	CacheMisses uint64 `json:"cacheMisses"`
	// DiskLookups and IndexLookups count how often a layer was asked for a name, by system calls and in its index.
	DiskLookups  uint64 `json:"diskLookups"`
	IndexLookups uint64 `json:"indexLookups"`
	// OpenFiles is how many such descriptors are open now, and Nodes how many inodes are known.
	OpenFiles uint64 `json:"openFiles"`
	Nodes     uint64 `json:"nodes"`
}

// Stats returns the counters, each of which may be a request or two ahead of another.
func (u *Union) Stats() Stats {
	hits, misses := u.fds.Counts()
	stats := Stats{CopyUps: u.copyUps.Load(), CacheHits: hits, CacheMisses: misses,
		DiskLookups: u.diskLookups.Load(), IndexLookups: u.indexLookups.Load(), OpenFiles: uint64(u.fds.Size())}
	u.mu.Lock()
	defer u.mu.Unlock()
	stats.Nodes = uint64(len(u.byID))
	return stats
}
