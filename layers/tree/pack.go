package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// PackOptions says what Pack leaves out.
type PackOptions struct {
	// OmitRoot leaves out the entry of the root directory, which a layer has only if it changes it.
	OmitRoot bool
	// Lowers are the trees of the layers below. A container's layer may have the data of its files and the content of
	// its directories there.
	Lowers Lowers
	// Flatten packs everything that the tree and its Lowers show together.
	Flatten bool
	// Writable is about the layer of a container.
	Writable Writable
}

// Pack writes a tree as an uncompressed tar in the form of an image layer, names sorted: owners, modes, devices, xattrs
// and hard links as a container sees them, deletions as entries that begin with ".wh.". Sockets are left out, because
// tar has no type for them. If the tree changes meanwhile, the tar has for each file what was there at some moment.
func Pack(t Tree, w io.Writer, opts PackOptions) error {
	v, err := newView(t, opts.Lowers, opts.Writable)
	if err != nil {
		return err
	}
	defer v.close()
	p := &packer{view: v, tw: tar.NewWriter(w), first: map[inode]string{}, dirs: map[string]bool{"": true}}
	visit := func(it item) error {
		if opts.OmitRoot && it.name == "" && it.kind == noDeletion {
			return nil
		}
		return p.item(it)
	}
	if opts.Flatten {
		err = v.walkUnion(visit)
	} else if err = v.walk(visit); err == nil && len(v.links) > 0 {
		err = p.untouched()
	}
	if err != nil {
		return err
	}
	return p.tw.Close()
}

// untouched writes the names that the tree does not have although it changes their file, as further names of that file.
func (p *packer) untouched() error {
	names, err := p.view.untouched()
	if err != nil {
		return err
	}
	for _, it := range names {
		if err := p.parents(filepath.Dir(it.name)); err != nil {
			return err
		}
		if err := p.item(it); err != nil {
			return err
		}
	}
	return nil
}

// parents writes the directories down to dir, a name in the union of all, that were not written yet: a reader of the
// layer alone would not know their owners and modes.
func (p *packer) parents(dir string) error {
	if dir == "." || p.dirs[dir] {
		return nil
	}
	if err := p.parents(filepath.Dir(dir)); err != nil {
		return err
	}
	_, paths, ok := p.union.find(strings.Split(dir, "/"))
	if !ok {
		return fmt.Errorf("pack %s: %w", dir, unix.ENOENT)
	}
	st, err := paths[0].stat()
	if err != nil {
		return err
	}
	return p.item(item{name: dir, location: paths[0], st: st})
}

type inode struct{ dev, ino uint64 }

type packer struct {
	view
	tw    *tar.Writer
	first map[inode]string // the name of the first entry of each inode with several names
	dirs  map[string]bool  // that have an entry
}

func (p *packer) item(it item) error {
	switch it.kind {
	case whiteout:
		dir, base := filepath.Split(it.name)
		return p.mark(dir+layerfmt.WhiteoutPrefix+base, &it.st)
	case opaqueMark:
		return p.mark(filepath.Join(it.name, layerfmt.OpaqueMarker), &it.st)
	}
	if len(p.links) > 0 && it.st.Mode&unix.S_IFMT == unix.S_IFDIR { // else it is not needed
		p.dirs[it.name] = true
	}
	if err := p.inode(it.name, it.location, &it.st); err != nil {
		return fmt.Errorf("pack /%s: %w", it.name, err)
	}
	return nil
}

// mark writes an entry that deletes something of the layers below.
func (p *packer) mark(name string, st *unix.Stat_t) error {
	hdr := &tar.Header{Typeflag: tar.TypeReg, Name: name, ModTime: mtime(st), Format: tar.FormatPAX}
	if err := p.tw.WriteHeader(hdr); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	return nil
}

// inode writes one entry that makes an inode or links to one.
func (p *packer) inode(name string, at location, st *unix.Stat_t) error {
	logical, err := logicalStat(at, st)
	if err != nil {
		return err
	}
	if logical.Mode&unix.S_IFMT == unix.S_IFSOCK {
		return nil
	}
	hdr := header(name, logical, st)
	linked := st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR
	if first, written := p.first[inode{st.Dev, st.Ino}]; linked && written {
		hdr.Typeflag, hdr.Linkname, hdr.Size = tar.TypeLink, first, 0
		return p.tw.WriteHeader(hdr)
	}
	if err = p.content(hdr, at, st); err == nil && linked {
		p.first[inode{st.Dev, st.Ino}] = name
	}
	return err
}

// content writes the entry of an inode. If the error says that the inode is gone, nothing was written.
func (p *packer) content(hdr *tar.Header, at location, st *unix.Stat_t) (err error) {
	if err := p.addXattrs(hdr, at); err != nil {
		return err
	}
	if hdr.Typeflag == tar.TypeSymlink {
		if hdr.Linkname, err = at.readLink(st); err != nil {
			return err
		}
	}
	if hdr.Typeflag == tar.TypeReg && hdr.Size > 0 {
		return p.file(hdr, at)
	}
	return p.tw.WriteHeader(hdr)
}

func (p *packer) addXattrs(hdr *tar.Header, at location) error {
	xattrs, err := containerXattrs(at)
	if err != nil {
		return err
	}
	for name, value := range xattrs {
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = map[string]string{}
		}
		hdr.PAXRecords[paxXattr+name] = value
	}
	return nil
}

// file writes the entry of a regular file with its data.
func (p *packer) file(hdr *tar.Header, at location) error {
	f, err := p.lowers.openData(at)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	hdr.Size = st.Size()
	if err := p.tw.WriteHeader(hdr); err != nil {
		return err
	}
	n, err := io.Copy(p.tw, filecopy.NewReader(f, hdr.Size))
	if errors.Is(err, io.ErrUnexpectedEOF) { // the file has become shorter
		_, err = io.CopyN(p.tw, zeros{}, hdr.Size-n)
	}
	return err
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// header returns the header of an entry without what must be read from disk.
func header(name string, logical layerfmt.Stat, st *unix.Stat_t) *tar.Header {
	hdr := &tar.Header{
		Name:    name,
		Mode:    int64(logical.Mode & 0o7777),
		Uid:     int(logical.UID),
		Gid:     int(logical.GID),
		ModTime: mtime(st),
		Format:  tar.FormatPAX,
	}
	switch logical.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		hdr.Typeflag, hdr.Size = tar.TypeReg, st.Size
	case unix.S_IFDIR:
		hdr.Typeflag, hdr.Name = tar.TypeDir, "./"
		if name != "" {
			hdr.Name = strings.TrimSuffix(name, "/") + "/"
		}
	case unix.S_IFLNK:
		hdr.Typeflag = tar.TypeSymlink
	case unix.S_IFIFO:
		hdr.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		hdr.Typeflag = tar.TypeChar
		if logical.Mode&unix.S_IFMT == unix.S_IFBLK {
			hdr.Typeflag = tar.TypeBlock
		}
		hdr.Devmajor, hdr.Devminor = int64(unix.Major(logical.Rdev)), int64(unix.Minor(logical.Rdev))
	}
	return hdr
}

func mtime(st *unix.Stat_t) time.Time { return time.Unix(st.Mtim.Unix()) }
