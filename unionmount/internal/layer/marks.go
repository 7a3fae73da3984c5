package layer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
	"golang.org/x/sys/unix"
)

// readClosed is readMarks for a file whose permissions keep even its owner from reading it.
func (l *Layer) readClosed(p *Probed, names []string, x beneath.File) error {
	fd, err := reopenAt(x.FD, x.Name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	l.Access.Lock()
	defer l.Access.Unlock()
	return sys.WithOwnerAccess(fd, func() error { return l.readMarks(p, names, beneath.File{FD: fd}) })
}

// reopenAt returns another O_PATH descriptor of the entry name of dirfd, or of dirfd itself when name is empty.
func reopenAt(dirfd int, name string) (int, error) {
	if name == "" {
		return unix.FcntlInt(uintptr(dirfd), unix.F_DUPFD_CLOEXEC, 3)
	}
	return beneath.Open(dirfd, name, unix.O_PATH, 0)
}

// readMarks reads those of the named xattrs that say something about the entry itself.
func (l *Layer) readMarks(p *Probed, names []string, x beneath.File) error {
	var refers overlayMarks
	for _, name := range names {
		read := func() (string, error) {
			value, err := l.Xattrs.Read(x, name)
			return string(value), err
		}
		var err error
		switch {
		case slices.Contains(layerfmt.WhiteoutXattrs, name) && p.Stat.Mode&unix.S_IFMT == unix.S_IFREG &&
			p.Stat.Size == 0:
			p.Whiteout = true
		case slices.Contains(layerfmt.OpaqueXattrs, name) && p.Stat.Mode&unix.S_IFMT == unix.S_IFDIR:
			value, readErr := read()
			p.Opaque = p.Opaque || readErr == nil && value == "y"
			if l.IsUpper() {
				err = readErr
			}
		case l.OverlayPrefix() != "" && strings.HasPrefix(name, l.OverlayPrefix()):
			err = refers.read(strings.TrimPrefix(name, l.OverlayPrefix()), read)
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

// readMark reads an xattr if it has a meaning in this layer.
func (l *Layer) readMark(p *Probed, name string, read func() (string, error)) error {
	switch {
	case name == l.IdentityXattr():
		return decodeMark(&p.ID, read, func(value string) (layerfmt.Stat, error) { return l.Decode(value, &p.Stat) })
	case name == layerfmt.DataXattr && !l.HostOwned && p.Stat.Mode&unix.S_IFMT == unix.S_IFREG:
		return l.readBelow(&p.Data, name, read)
	case name == layerfmt.RedirectXattr && !l.HostOwned && p.Stat.Mode&unix.S_IFMT == unix.S_IFDIR:
		return l.readBelow(&p.redirect, name, read)
	case name == workdir.OriginXattr && l.IsUpper():
		return decodeMark(&p.Origin, read, workdir.ParseOrigin)
	case name == workdir.GroupXattr && l.IsUpper():
		return decodeMark(&p.Group, read, workdir.ParseGroup)
	}
	return nil
}

// readBelow reads a reference to numbered layers. Only the upper may hold one: in another layer, a union of other
// layers has left it.
func (l *Layer) readBelow(into **encoding.Reference, name string, read func() (string, error)) error {
	if !l.IsUpper() {
		return fmt.Errorf("%s: not in the topmost layer", name)
	}
	var b layerfmt.Below
	*into = &encoding.Reference{Exact: &b}
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

// Below returns the reference by which an entry finds what is below it; nil if it does by its name.
func (p *Probed) Below() *encoding.Reference {
	if p.IsDir() {
		return p.redirect
	}
	return p.Data
}

// overlayMarks are the marks by which the kernel's overlay notes a reference.
type overlayMarks struct {
	redirect string
	metacopy bool
}

func (m *overlayMarks) read(name string, value func() (string, error)) (err error) {
	switch name {
	case layerfmt.OverlayRedirect:
		m.redirect, err = value()
	case layerfmt.OverlayMetacopy:
		m.metacopy = true
	}
	return err
}

// apply notes in p what the marks say. An opaque directory has nothing below, and a path without metacopy means
// nothing for a file.
func (m *overlayMarks) apply(p *Probed) {
	switch p.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if m.metacopy {
			p.Data = &encoding.Reference{Path: m.redirect}
		}
	case unix.S_IFDIR:
		if m.redirect != "" && !p.Opaque {
			p.redirect = &encoding.Reference{Path: m.redirect}
		}
	}
}

// mayBeHollow tells whether a file of a lower may have its data elsewhere. Such a file is a hole, except perhaps for
// the block of its xattrs. So the blocks of a small file tell nothing; but only the kernel makes small files that
// refer to others.
func (l *Layer) mayBeHollow(st *unix.Stat_t) bool {
	const block = 8
	return st.Blocks <= block && l.OverlayPrefix() != "" &&
		(st.Blocks*512 < st.Size || l.OverlayPrefix() == layerfmt.PrivilegedOverlayPrefix)
}
