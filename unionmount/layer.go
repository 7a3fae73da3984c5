package unionmount

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/internal/xattrlog"
)

// layer is an open layer. It is immutable.
type layer struct {
	Layer
	policy
	index int // 0 is the upper, lowers follow, the nearest first
	depth int // of lowers, as layerfmt.Below numbers them: the lowest is 1; 0 of the upper
	dir   string
	root  int // O_PATH
	dev   uint64
	mount uint64 // id of the mount that root is in; 0 where the kernel does not tell
	space uint64 // goes into the high bits of st_ino; see numberSpaces

	contents *layerindex.Index // what the files in it are; nil when they have to be asked
	blksize  int64             // of all files

	// xattrs is where the files have them.
	xattrs xattrs
	// access is Union.access, of the upper.
	access *sync.Mutex
}

func openLayer(l Layer, index int) (*layer, error) {
	fd, err := unix.Open(l.Dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open layer %s: %w", l.Dir, err)
	}
	st, err := statFD(fd)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("stat layer %s: %w", l.Dir, err)
	}
	_, mount, err := statMount(fd, ".")
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("stat layer %s: %w", l.Dir, err)
	}
	p, err := newPolicy(&l, fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	opened := &layer{Layer: l, policy: p, index: index, dir: l.Dir, root: fd, dev: st.Dev, mount: mount,
		blksize: int64(st.Blksize), xattrs: diskXattrs{}}
	if index > 0 && l.Ownership == CallerOwned {
		err = opened.openMetadata(&st)
	}
	if err != nil {
		opened.close()
		return nil, err
	}
	return opened, nil
}

// openMetadata opens what says what the files of a CallerOwned lower are, besides the files themselves.
func (l *layer) openMetadata(root *unix.Stat_t) (err error) {
	switch {
	case l.Plain:
		if l.contents, err = layerindex.Open(l.Index); err != nil {
			return fmt.Errorf("layer %s has its owners in its index alone, which cannot be used; get the image again: %w", l.dir, err)
		}
	case l.Side != "":
		records, err := xattrlog.Read(l.Side, root.Ino)
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.dir, err)
		}
		l.xattrs = recordedXattrs{records}
	default:
		l.contents = openIndex(l.Index, root)
	}
	return nil
}

func (l *layer) close() {
	unix.Close(l.root)
	if l.contents != nil {
		l.contents.Close()
	}
}

func (l *layer) isUpper() bool { return l.index == 0 }

// probed is what a layer has at a name.
type probed struct {
	st       unix.Stat_t
	id       layerfmt.Stat // owner, mode and device as the container sees them
	whiteout bool
	opaque   bool
	foreign  bool   // a mount point, of which st tells no more than type and inode number
	origin   origin // of copies in the upper
	group    *linkGroup
	data     *reference        // where a file has its data, if not in itself
	redirect *reference        // what is merged into a directory, if not what has its name below
	entry    *layerindex.Entry // where it is known from the index of the layer
}

func (p *probed) isDir() bool { return p.id.Mode&unix.S_IFMT == unix.S_IFDIR }

// seen returns what layerfmt.Merge asks of what was probed, without the marks that seeMarks looks for. err is the
// probe's: that there is no entry is no error here.
func (p *probed) seen(err error) (layerfmt.Seen, error) {
	if isNotExist(err) {
		return layerfmt.Seen{}, nil
	}
	return layerfmt.Seen{Kind: layerfmt.KindOf(p.id.Mode), Whiteout: p.whiteout, Opaque: p.opaque || p.foreign,
		Refers: p.below() != nil}, err
}

// probe examines the entry name of the directory dirfd in l. ENOENT is returned bare.
func (l *layer) probe(dirfd int, name string) (probed, error) {
	if l.Ownership == HostOwned && l.index != 0 {
		return l.probeHost(dirfd, name)
	}
	st, err := statAt(dirfd, name)
	if err != nil {
		return probed{}, err
	}
	if l.Plain {
		return probed{}, errNotIndexed
	}
	if st.Dev != l.dev {
		return l.foreign(dirfd, name)
	}
	return l.interpret(st, beneath.File{FD: dirfd, Name: name})
}

// probeHost is probe where there may be mounts. It asks the filesystems in them nothing: one may be the union's own.
func (l *layer) probeHost(dirfd int, name string) (probed, error) {
	st, mount, err := statMount(dirfd, name)
	switch {
	case err == unix.EACCES || err == nil && mount == 0: // a mount of another user's, or a kernel that does not tell
		return l.probeOpened(dirfd, name)
	case err != nil:
		return probed{}, err
	case mount != l.mount:
		return l.foreign(dirfd, name)
	}
	return l.interpret(st, beneath.File{FD: dirfd, Name: name})
}

// probeOpened does without stat(2) by name, which would enter a mount.
func (l *layer) probeOpened(dirfd int, name string) (probed, error) {
	fd, err := beneath.OpenPath(dirfd, name, unix.O_PATH)
	if errors.Is(err, unix.EXDEV) {
		return l.foreign(dirfd, name)
	}
	if err != nil {
		return probed{}, err
	}
	defer unix.Close(fd)
	st, err := statFD(fd)
	if err != nil {
		return probed{}, err
	}
	return l.interpret(st, beneath.File{FD: fd})
}

// interpret finds out what the backing file with the given attributes stands for.
func (l *layer) interpret(st unix.Stat_t, x beneath.File) (probed, error) {
	p := probed{st: st, id: l.plain(&st)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		p.whiteout = st.Rdev == 0
		return p, nil
	case unix.S_IFDIR:
	case unix.S_IFREG:
		if l.statXattr() == "" && l.index != 0 && st.Size > 0 && !l.mayBeHollow(&st) {
			return p, nil
		}
	default:
		if l.StatXattr != layerfmt.PrivilegedStatXattr { // which alone other types than those above can have
			return p, nil
		}
	}
	names, err := l.xattrs.list(x)
	if err != nil {
		return p, err
	}
	err = l.readMarks(&p, names, x)
	if errors.Is(err, unix.EACCES) && l.isUpper() {
		err = l.readClosed(&p, names, x)
	}
	return p, err
}

// readClosed is readMarks for a file whose permissions keep even its owner from reading it.
func (l *layer) readClosed(p *probed, names []string, x beneath.File) error {
	fd, err := reopenAt(x.FD, x.Name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	l.access.Lock()
	defer l.access.Unlock()
	return withOwnerAccess(fd, func() error { return l.readMarks(p, names, beneath.File{FD: fd}) })
}

// reopenAt returns another O_PATH descriptor of the entry name of dirfd, or of dirfd itself when name is empty.
func reopenAt(dirfd int, name string) (int, error) {
	if name == "" {
		return unix.FcntlInt(uintptr(dirfd), unix.F_DUPFD_CLOEXEC, 3)
	}
	return openat(dirfd, name, unix.O_PATH, 0)
}

// readMarks reads the xattrs among names that say something about the entry itself.
func (l *layer) readMarks(p *probed, names []string, x beneath.File) error {
	var refers overlayMarks
	for _, name := range names {
		read := func() (string, error) {
			value, err := l.xattrs.read(x, name)
			return string(value), err
		}
		var err error
		switch {
		case slices.Contains(layerfmt.WhiteoutXattrs, name) && p.st.Mode&unix.S_IFMT == unix.S_IFREG && p.st.Size == 0:
			p.whiteout = true
		case slices.Contains(layerfmt.OpaqueXattrs, name) && p.st.Mode&unix.S_IFMT == unix.S_IFDIR:
			value, readErr := read()
			p.opaque = p.opaque || readErr == nil && value == "y"
			if l.isUpper() {
				err = readErr
			}
		case l.overlayPrefix() != "" && strings.HasPrefix(name, l.overlayPrefix()):
			err = refers.read(strings.TrimPrefix(name, l.overlayPrefix()), read)
		default:
			err = l.readMark(p, name, read)
		}
		if err != nil {
			return err
		}
	}
	refers.apply(p)
	return nil
}

// readMark reads the xattr name if it is one that has a meaning in this layer.
func (l *layer) readMark(p *probed, name string, read func() (string, error)) error {
	switch {
	case name == l.statXattr():
		return decodeMark(&p.id, read, func(value string) (layerfmt.Stat, error) { return l.decode(value, &p.st) })
	case name == layerfmt.DataXattr && l.Ownership == CallerOwned && p.st.Mode&unix.S_IFMT == unix.S_IFREG:
		return l.readBelow(&p.data, name, read)
	case name == layerfmt.RedirectXattr && l.Ownership == CallerOwned && p.st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return l.readBelow(&p.redirect, name, read)
	case name == originXattr && l.isUpper():
		return decodeMark(&p.origin, read, parseOrigin)
	case name == groupXattr && l.isUpper():
		return decodeMark(&p.group, read, parseGroup)
	}
	return nil
}

// readBelow reads a reference to numbered layers, which only the upper may hold: in another layer it was left by a
// union of other layers.
func (l *layer) readBelow(into **reference, name string, read func() (string, error)) error {
	if !l.isUpper() {
		return fmt.Errorf("%s: not in the topmost layer", name)
	}
	var b layerfmt.Below
	*into = &reference{exact: &b}
	return decodeMark(&b, read, layerfmt.DecodeBelow)
}

// decodeMark sets *into to the decoded value of an xattr.
func decodeMark[T any](into *T, read func() (string, error), decode func(string) (T, error)) error {
	value, err := read()
	if err != nil {
		return err
	}
	decoded, err := decode(value)
	if err != nil {
		return err
	}
	*into = decoded
	return nil
}

// foreign describes a mount point in the layer without touching what is mounted there. Only its directory's listing
// tells what the mount covers.
func (l *layer) foreign(dirfd int, name string) (probed, error) {
	root, err := statFD(l.root)
	if err != nil {
		return probed{}, err
	}
	fd, err := openat(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return probed{}, err
	}
	defer unix.Close(fd)
	p := probed{foreign: true}
	err = beneath.ReadDir(fd, func(e beneath.Entry) {
		if e.Name != name {
			return
		}
		p.st = unix.Stat_t{Dev: l.dev, Ino: e.Ino, Nlink: 1, Mode: unix.S_IFREG | 0o644, Blksize: root.Blksize,
			Atim: root.Mtim, Mtim: root.Mtim, Ctim: root.Ctim}
		if e.Type == unix.DT_DIR {
			p.st.Mode = unix.S_IFDIR | 0o755
		}
	})
	if err == nil && p.st.Ino == 0 {
		err = unix.ENOENT
	}
	p.id = layerfmt.Stat{Mode: p.st.Mode}
	return p, err
}

// seeMarks completes what was seen at a name of the directory dirfd of l by the marks that are files.
func (l *layer) seeMarks(s *layerfmt.Seen, dirfd int, name string) {
	s.Covered = l.hasWhiteoutFile(dirfd, name)
	s.Opaque = s.Opaque || s.Kind == layerfmt.Directory && !s.Covered && opaqueInside(dirfd, name)
}

// hasWhiteoutFile tells whether the directory dirfd of l has the whiteout file of name.
func (l *layer) hasWhiteoutFile(dirfd int, name string) bool {
	_, err := statAt(dirfd, layerfmt.WhiteoutPrefix+name)
	return err == nil
}
