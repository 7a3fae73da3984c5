package unionmount

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// addBelow adds to o the files that the entry name of dir in a slot refers to.
func (u *Union) addBelow(o *object, ref *encoding.Reference, dir *Node, slot int, name string) error {
	l := dir.layerAt(slot)
	if !l.IsUpper() {
		u.redirected.Store(true)
	}
	path := ref.Path
	if path == "" {
		path = name
	}
	below, err := u.placesOf(&encoding.Reference{Exact: ref.Exact, Path: path}, l, dir.lowers[slot+1:], o.top.IsDir())
	if err != nil {
		return err
	}
	if o.top.IsDir() {
		o.lowers = append(o.lowers, below...)
		return nil
	}
	if len(below) == 0 {
		return fmt.Errorf("find data at %s in the layers below: %w", path, unix.EIO)
	}
	o.lowers = append(o.lowers, below[len(below)-1])
	return nil
}

// placesOf returns the directories or files that a reference in layer l leads to. rest are the directories below l
// that are merged into the directory of the entry with the reference.
func (u *Union) placesOf(ref *encoding.Reference, l *layer.Layer, rest []layer.Place, dir bool) ([]layer.Place, error) {
	if ref.Exact == nil {
		t := redirectWalk{u: u, left: longestWalk}
		return t.follow(ref.Path, l, rest, dir)
	}
	places := make([]layer.Place, len(ref.Exact.Layers))
	for i, depth := range ref.Exact.Layers {
		if depth > len(u.lowers) {
			return nil, fmt.Errorf("reference to layer %d, where there are only %d", depth, len(u.lowers))
		}
		var err error
		if places[i], err = u.lowers[len(u.lowers)-depth].PlaceAt(ref.Exact.Path); err != nil {
			return nil, err
		}
	}
	return places, nil
}

// marksTo returns the xattrs by which an entry of the upper refers to places in the lowers, or none if it cannot. If
// directories of the lowers have several paths, a reference may lead to another place; then there are none, either.
func (u *Union) marksTo(to []layer.Place, dir bool) ([]encoding.Mark, error) {
	ref := u.upper.Refer(layer.Locations(to), dir)
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
		if !layer.SamePlaces(reached, to) {
			return nil, nil
		}
	}
	return u.upper.Marks(ref, dir), nil
}

// setMarks notes a reference in the file behind fd.
func (u *Union) setMarks(fd int, marks []encoding.Mark) error {
	for _, m := range marks {
		if err := u.upper.Xattrs.Set(fd, m.Name, m.Value, 0); err != nil {
			return err
		}
	}
	return nil
}

// clearMarks removes a reference from the file behind fd. The marks are removed in reverse order, because none means
// anything without the ones before it.
func (u *Union) clearMarks(fd int, dir bool) error {
	for _, m := range slices.Backward(u.upper.Marks(&encoding.Reference{}, dir)) {
		if err := u.removeXattr(fd, m.Name); err != nil {
			return err
		}
	}
	return nil
}

// removeXattr removes an xattr of the file behind fd, which may be missing.
func (u *Union) removeXattr(fd int, name string) error {
	err := sys.Owning(fd, func() error { return u.upper.Xattrs.Remove(fd, name) })
	if err == unix.ENODATA {
		return nil
	}
	return err
}

// longestWalk bounds the number of lookups for one reference. The author of a layer could otherwise make one that
// takes forever.
const longestWalk = 1 << 14

// redirectWalk follows references of the kernel's overlay through the lowers. Each leads to layers further down, so
// the walk ends.
type redirectWalk struct {
	u    *Union
	left int  // lookups that are left
	file bool // the last step led to a file
}

// follow returns the places that a path in a reference of layer l leads to: directories that are merged; or a file
// and, behind it, the file with its data. dir tells which kind is wanted. If the path leads to the other kind, there
// are none.
func (t *redirectWalk) follow(path string, l *layer.Layer, rest []layer.Place, dir bool) ([]layer.Place, error) {
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
func (u *Union) rootsBelow(l *layer.Layer) []layer.Place {
	i := slices.IndexFunc(u.root.lowers, func(p layer.Place) bool { return p.Layer.Order > l.Order })
	if i < 0 {
		return nil
	}
	return u.root.lowers[i:]
}

// step returns the places at a name of the given directories, which are merged.
func (t *redirectWalk) step(dirs []layer.Place, name string) (found []layer.Place, err error) {
	for i, dir := range dirs {
		if t.left--; t.left < 0 {
			return nil, unix.ELOOP
		}
		p, more, err := dir.Probe(name, len(found) > 0)
		if err != nil {
			return nil, err
		}
		if p == nil && more {
			continue
		}
		if p == nil {
			return found, nil
		}
		found = append(found, dir.Child(name))
		t.file = !p.IsDir()
		if ref := p.Below(); ref != nil {
			further, err := t.further(ref, dir.Layer, dirs[i+1:], name, p.IsDir())
			t.file = !p.IsDir()
			return append(found, further...), err
		}
		if !more {
			return found, nil
		}
	}
	return found, nil
}

// further follows a reference on the way.
func (t *redirectWalk) further(ref *encoding.Reference, l *layer.Layer, rest []layer.Place, name string,
	dir bool) ([]layer.Place, error) {
	if ref.Exact != nil {
		return nil, fmt.Errorf("layer %s has a reference that only the topmost layer may have", l.Dir)
	}
	path := ref.Path
	if path == "" {
		path = name
	}
	return t.follow(path, l, rest, dir)
}
