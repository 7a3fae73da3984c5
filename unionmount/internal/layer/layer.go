package layer

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/internal/xattrlog"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// Source says what a layer is made of. The fields are those of unionmount.Layer.
type Source struct {
	Dir       string
	HostOwned bool
	Index     string
	Plain     bool
	Side      string
	encoding.HostTree
}

// Layer is an open layer. It does not change.
type Layer struct {
	Source
	encoding.Policy
	Order int // 0 is the upper, lowers follow, the nearest first
	Depth int // the number of a lower as in layerfmt.Below: the lowest has 1; 0 for the upper
	Root  int // O_PATH
	Dev   uint64
	mount uint64 // id of the mount that root is in; 0 where the kernel does not tell
	space uint64 // goes into the high bits of st_ino; see NumberSpaces

	Contents *layerindex.Index // the index; nil if the files themselves must be read
	blksize  int64             // of every file

	// Xattrs is where the xattrs of the files are.
	Xattrs encoding.Store
	// Access is held while a file of the upper is made accessible for a moment.
	Access sync.Mutex
}

// Open opens a layer. index is 0 for an upper; depth is that of a lower.
func Open(l Source, index, depth int) (*Layer, error) {
	fd, err := unix.Open(l.Dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open layer %s: %w", l.Dir, err)
	}
	st, err := sys.Stat(fd)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("stat layer %s: %w", l.Dir, err)
	}
	_, mount, err := sys.StatMount(fd, ".")
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("stat layer %s: %w", l.Dir, err)
	}
	p := encoding.NewCallerOwned(encoding.OnDisk{})
	if l.HostOwned {
		p, l.StatXattr, err = encoding.NewHostOwned(l.HostTree, fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("layer %s: %w", l.Dir, err)
	}
	opened := &Layer{Source: l, Policy: p, Order: index, Depth: depth, Root: fd, Dev: st.Dev, mount: mount,
		blksize: int64(st.Blksize), Xattrs: encoding.OnDisk{}}
	if index > 0 && !l.HostOwned {
		err = opened.openMetadata(&st)
	}
	if err != nil {
		opened.Close()
		return nil, err
	}
	return opened, nil
}

// openMetadata opens the index or the record of a CallerOwned lower, which say what its files are.
func (l *Layer) openMetadata(root *unix.Stat_t) (err error) {
	switch {
	case l.Plain:
		if l.Contents, err = layerindex.Open(l.Index); err != nil {
			const problem = "layer %s has its owners in its index alone, which cannot be used; get the image again: %w"
			return fmt.Errorf(problem, l.Dir, err)
		}
	case l.Side != "":
		records, err := xattrlog.Read(l.Side, root.Ino)
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.Dir, err)
		}
		l.Xattrs = encoding.NewRecorded(records)
	default:
		l.Contents = openIndex(l.Index, root)
	}
	return nil
}

// Close closes the layer. Its xattrs are closed by the caller.
func (l *Layer) Close() {
	unix.Close(l.Root)
	if l.Contents != nil {
		l.Contents.Close()
	}
}

// IsUpper tells whether the layer is the upper.
func (l *Layer) IsUpper() bool { return l.Order == 0 }
