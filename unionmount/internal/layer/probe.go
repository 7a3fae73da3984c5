package layer

import (
	"errors"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
	"golang.org/x/sys/unix"
)

// Probed is what a layer has at a name.
type Probed struct {
	Stat     unix.Stat_t
	ID       layerfmt.Stat // owner, mode and device as the container sees them
	Whiteout bool
	Opaque   bool
	Foreign  bool           // a mount point: only type and inode number are known
	Origin   workdir.Origin // of a copy in the upper
	Group    *workdir.Group
	Data     *encoding.Reference // where a file has its data, if not in itself
	redirect *encoding.Reference // what is merged into a directory, if not the directories of its name below
	Entry    *layerindex.Entry   // if it was found in the index of the layer
}

// IsDir tells whether a container sees a directory.
func (p *Probed) IsDir() bool { return p.ID.Mode&unix.S_IFMT == unix.S_IFDIR }

// Seen returns what layerfmt.Merge needs to know, without the marks that SeeMarks looks for. err is the error of
// Probe: a missing entry is no error here.
func (p *Probed) Seen(err error) (layerfmt.Seen, error) {
	if errors.Is(err, unix.ENOENT) {
		return layerfmt.Seen{}, nil
	}
	return layerfmt.Seen{Kind: layerfmt.KindOf(p.ID.Mode), Whiteout: p.Whiteout, Opaque: p.Opaque || p.Foreign,
		Refers: p.Below() != nil}, err
}

// Probe examines the entry name of the directory dirfd in l. ENOENT is returned bare.
func (l *Layer) Probe(dirfd int, name string) (Probed, error) {
	if l.HostOwned && l.Order != 0 {
		return l.probeHost(dirfd, name)
	}
	st, err := beneath.Stat(dirfd, name)
	if err != nil {
		return Probed{}, err
	}
	if l.Plain {
		return Probed{}, errNotIndexed
	}
	if st.Dev != l.Dev {
		return l.foreign(dirfd, name)
	}
	return l.interpret(st, beneath.File{FD: dirfd, Name: name})
}

// probeHost is Probe for trees in which there may be mounts. It asks nothing of mounted filesystems, because one of
// them may be the union's own.
func (l *Layer) probeHost(dirfd int, name string) (Probed, error) {
	st, mount, err := sys.StatMount(dirfd, name)
	switch {
	case err == unix.EACCES || err == nil && mount == 0:
		// A mount of another user, or a kernel that does not tell mounts apart.
		return l.probeOpened(dirfd, name)
	case err != nil:
		return Probed{}, err
	case mount != l.mount:
		return l.foreign(dirfd, name)
	}
	return l.interpret(st, beneath.File{FD: dirfd, Name: name})
}

// probeOpened is probeHost without stat(2) by name, which would enter a mount.
func (l *Layer) probeOpened(dirfd int, name string) (Probed, error) {
	fd, err := beneath.OpenPath(dirfd, name, unix.O_PATH)
	if errors.Is(err, unix.EXDEV) {
		return l.foreign(dirfd, name)
	}
	if err != nil {
		return Probed{}, err
	}
	defer unix.Close(fd)
	st, err := sys.Stat(fd)
	if err != nil {
		return Probed{}, err
	}
	return l.interpret(st, beneath.File{FD: fd})
}

// interpret returns what a backing file with the given attributes stands for.
func (l *Layer) interpret(st unix.Stat_t, x beneath.File) (Probed, error) {
	p := Probed{Stat: st, ID: l.FromStat(&st)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		p.Whiteout = st.Rdev == 0
		return p, nil
	case unix.S_IFDIR:
	case unix.S_IFREG:
		if l.IdentityXattr() == "" && l.Order != 0 && st.Size > 0 && !l.mayBeHollow(&st) {
			return p, nil
		}
	default:
		if l.StatXattr != layerfmt.PrivilegedStatXattr { // the only xattr that files of other types can have
			return p, nil
		}
	}
	names, err := l.Xattrs.List(x)
	if err != nil {
		return p, err
	}
	err = l.readMarks(&p, names, x)
	if errors.Is(err, unix.EACCES) && l.IsUpper() {
		err = l.readClosed(&p, names, x)
	}
	return p, err
}

// foreign describes a mount point in the layer without touching what is mounted there. What the mount covers is read
// from the listing of its directory.
func (l *Layer) foreign(dirfd int, name string) (Probed, error) {
	root, err := sys.Stat(l.Root)
	if err != nil {
		return Probed{}, err
	}
	fd, err := beneath.Open(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return Probed{}, err
	}
	defer unix.Close(fd)
	p := Probed{Foreign: true}
	err = beneath.ReadDir(fd, func(e beneath.Entry) {
		if e.Name != name {
			return
		}
		p.Stat = unix.Stat_t{Dev: l.Dev, Ino: e.Ino, Nlink: 1, Mode: unix.S_IFREG | 0o644, Blksize: root.Blksize,
			Atim: root.Mtim, Mtim: root.Mtim, Ctim: root.Ctim}
		if e.Type == unix.DT_DIR {
			p.Stat.Mode = unix.S_IFDIR | 0o755
		}
	})
	if err == nil && p.Stat.Ino == 0 {
		err = unix.ENOENT
	}
	p.ID = layerfmt.Stat{Mode: p.Stat.Mode}
	return p, err
}

// SeeMarks adds to s the marks at a name of the directory dirfd that are files.
func (l *Layer) SeeMarks(s *layerfmt.Seen, dirfd int, name string) {
	s.Covered = l.hasWhiteoutFile(dirfd, name)
	s.Opaque = s.Opaque || s.Kind == layerfmt.Directory && !s.Covered && opaqueInside(dirfd, name)
}

// hasWhiteoutFile tells whether the directory dirfd of l has the whiteout file of name.
func (l *Layer) hasWhiteoutFile(dirfd int, name string) bool {
	_, err := beneath.Stat(dirfd, layerfmt.WhiteoutPrefix+name)
	return err == nil
}

// opaqueInside tells whether the directory name in dirfd holds an opaque marker file.
func opaqueInside(dirfd int, name string) bool {
	fd, err := beneath.OpenPath(dirfd, name+"/"+layerfmt.OpaqueMarker, unix.O_PATH)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// IsWhiteout tells whether the file that would stand for an entry in l is a whiteout.
func (l *Layer) IsWhiteout(id layerfmt.Stat) bool {
	return id.Rdev == 0 && l.Policy.Backing(id)&unix.S_IFMT == unix.S_IFCHR
}
