package unionmount

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// reference says where the lowers have what an entry does not hold itself: the data of a file, or what is merged into a
// directory.
type reference struct {
	exact *layerfmt.Below // numbered layers, as CallerOwned uppers have it; nil in the others
	path  string          // as layerfmt.OverlayRedirect; empty for the name that the entry has
}

// xattrMark is an xattr that makes, with others, a reference.
type xattrMark struct{ name, value string }

// below returns what an entry refers to instead of what has its name in the lowers, or nil.
func (p *probed) below() *reference {
	if p.isDir() {
		return p.redirect
	}
	return p.data
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

// apply notes what the marks say of an entry. An opaque directory has nothing below, and a path alone says nothing of
// a file.
func (m *overlayMarks) apply(p *probed) {
	switch p.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if m.metacopy {
			p.data = &reference{path: m.redirect}
		}
	case unix.S_IFDIR:
		if m.redirect != "" && !p.opaque {
			p.redirect = &reference{path: m.redirect}
		}
	}
}

// mayBeHollow tells whether a file of a lower may have its data elsewhere. It then is a hole, but for the block in which
// its xattrs may lie: that of a small file tells nothing, and no other than the kernel lets one refer to another.
func (l *layer) mayBeHollow(st *unix.Stat_t) bool {
	const block = 8
	return st.Blocks <= block && l.overlayPrefix() != "" &&
		(st.Blocks*512 < st.Size || l.overlayPrefix() == layerfmt.PrivilegedOverlayPrefix)
}

// addBelow adds to o the files that the entry name of dir in a slot refers to.
func (u *Union) addBelow(o *object, ref *reference, dir *Node, slot int, name string) error {
	l := dir.layerAt(slot)
	if !l.isUpper() {
		u.redirected.Store(true)
	}
	path := ref.path
	if path == "" {
		path = name
	}
	below, err := u.placesOf(&reference{ref.exact, path}, l, dir.lowers[slot+1:], o.top.isDir())
	if err != nil {
		return err
	}
	if o.top.isDir() {
		o.lowers = append(o.lowers, below...)
		return nil
	}
	if len(below) == 0 {
		return fmt.Errorf("data at %s: %w", path, unix.EIO)
	}
	o.lowers = append(o.lowers, below[len(below)-1])
	return nil
}

// placesOf returns the directories or files that a reference in layer l leads to; rest are what is merged into the
// directory of the entry that has it, below that layer.
func (u *Union) placesOf(ref *reference, l *layer, rest []place, dir bool) ([]place, error) {
	if ref.exact == nil {
		t := trail{u: u, left: longestTrail}
		return t.follow(ref.path, l, rest, dir)
	}
	places := make([]place, len(ref.exact.Layers))
	for i, depth := range ref.exact.Layers {
		if depth > len(u.lowers) {
			return nil, fmt.Errorf("reference to layer %d of %d", depth, len(u.lowers))
		}
		var err error
		if places[i], err = u.lowers[len(u.lowers)-depth].placeAt(ref.exact.Path); err != nil {
			return nil, err
		}
	}
	return places, nil
}

// marksTo returns the xattrs by which an entry of the upper refers to places in the lowers; none if it cannot. Where
// directories of the lowers have several paths, a reference may lead elsewhere: then it cannot, either.
func (u *Union) marksTo(to []place, dir bool) ([]xattrMark, error) {
	ref := u.upper.refer(to, dir)
	if ref == nil {
		return nil, nil
	}
	if u.redirected.Load() {
		reached, err := u.placesOf(ref, u.upper, nil, dir)
		if err != nil {
			return nil, err
		}
		if !dir {
			reached = reached[max(0, len(reached)-1):]
		}
		if !samePlaces(reached, to) {
			return nil, nil
		}
	}
	return u.upper.marks(ref, dir), nil
}

// setMarks notes a reference in the file behind fd.
func (u *Union) setMarks(fd int, marks []xattrMark) error {
	for _, m := range marks {
		if err := u.upper.xattrs.set(fd, m.name, m.value, 0); err != nil {
			return err
		}
	}
	return nil
}

// clearMarks takes a reference of the file behind fd back, whose marks are removed in the opposite order: none of them
// means anything without those before it.
func (u *Union) clearMarks(fd int, dir bool) error {
	for _, m := range slices.Backward(u.upper.marks(&reference{}, dir)) {
		if err := u.removeXattr(fd, m.name); err != nil {
			return err
		}
	}
	return nil
}

// removeXattr removes an xattr that the file behind fd may have.
func (u *Union) removeXattr(fd int, name string) error {
	err := owning(fd, func() error { return u.upper.xattrs.remove(fd, name) })
	if err == unix.ENODATA {
		return nil
	}
	return err
}

// longestTrail bounds how many names are looked up to follow a reference. Whoever writes a layer could otherwise have
// one lead through more than there is time for.
const longestTrail = 1 << 14

// trail follows references of the kernel's overlay through the lowers. Every one of them leads to layers further down,
// so that there is an end.
type trail struct {
	u    *Union
	left int  // names that may still be looked up
	file bool // the last step led to a file
}

// follow returns what a path in a reference of layer l leads to: directories that are merged; or a file and, behind it,
// the one that has its data. Where it leads to the other kind there is nothing.
func (t *trail) follow(path string, l *layer, rest []place, dir bool) ([]place, error) {
	if fromRoot, absolute := strings.CutPrefix(path, "/"); absolute {
		path, rest = fromRoot, t.u.rootsBelow(l)
	}
	for name := range strings.SplitSeq(path, "/") {
		if checkNewName(name) != nil {
			return nil, fmt.Errorf("reference to %q: not a path", path)
		}
		var err error
		if rest, err = t.step(rest, name); err != nil {
			return nil, err
		}
	}
	if t.file == dir {
		return nil, nil
	}
	return rest, nil
}

// rootsBelow returns the roots of the layers below l that are merged.
func (u *Union) rootsBelow(l *layer) []place {
	i := slices.IndexFunc(u.root.lowers, func(p place) bool { return p.layer.index > l.index })
	if i < 0 {
		return nil
	}
	return u.root.lowers[i:]
}

// step returns what the given directories, merged, have at a name.
func (t *trail) step(dirs []place, name string) (found []place, err error) {
	for i, dir := range dirs {
		if t.left--; t.left < 0 {
			return nil, unix.ELOOP
		}
		p, more, err := dir.probe(name, len(found) > 0)
		if err != nil {
			return nil, err
		}
		if p == nil && more {
			continue
		}
		if p == nil {
			return found, nil
		}
		found = append(found, dir.child(name))
		t.file = !p.isDir()
		if ref := p.below(); ref != nil {
			further, err := t.further(ref, dir.layer, dirs[i+1:], name, p.isDir())
			t.file = !p.isDir()
			return append(found, further...), err
		}
		if !more {
			return found, nil
		}
	}
	return found, nil
}

// further follows a reference that was met on the way.
func (t *trail) further(ref *reference, l *layer, rest []place, name string, dir bool) ([]place, error) {
	if ref.exact != nil {
		return nil, fmt.Errorf("reference to layers below %s", l.dir)
	}
	path := ref.path
	if path == "" {
		path = name
	}
	return t.follow(path, l, rest, dir)
}

// probe returns what shows at a name of a directory, nil for nothing, and tells whether the directories below count.
// found is that of layerfmt.Merge.
func (at place) probe(name string, found bool) (_ *probed, more bool, err error) {
	fd, err := at.open(unix.O_PATH | unix.O_DIRECTORY)
	if err == unix.ENOTDIR || err == unix.ENOENT {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer unix.Close(fd)
	p, err := at.layer.probe(fd, name)
	seen, err := p.seen(err)
	if err != nil {
		return nil, false, err
	}
	shows, more := layerfmt.Merge(found, seen)
	if more {
		at.layer.seeMarks(&seen, fd, name)
		_, more = layerfmt.Merge(found, seen)
	}
	if !shows {
		return nil, more, nil
	}
	return &p, more, nil
}
