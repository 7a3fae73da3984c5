package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// item is what a layer says of a name.
type item struct {
	name     string      // relative to the root: of the entry, of what is deleted, or of the directory that is opaque
	location             // of the file on disk; what a renamed directory contains may lie in a layer below
	st       unix.Stat_t // of that file
	kind     deletion    // noDeletion of an entry, whiteout or opaqueMark
}

// walk visits everything that the tree says of names: a directory before what is in it, names sorted. A directory that
// was renamed is visited as if it were new, with everything that it shows. If an entry goes away meanwhile, it is left
// out; if it becomes another, it is visited as that.
func (v view) walk(visit func(item) error) error {
	w := &walk{view: v, visit: visit}
	return w.entry([]location{v.top.self()}, false)
}

// walkUnion visits everything that the tree and the image below it show together, in the same order.
func (v view) walkUnion(visit func(item) error) error {
	w := &walk{view: v, visit: visit}
	return w.entry(append(stack{v.top}, v.image()...).locations(), true)
}

type walk struct {
	view
	visit func(item) error
	// name is the name of the entry. It grows and shrinks on the way. One name for each level would take the square of
	// the depth in a deep tree.
	name []byte
}

// entry visits a name, which paths[0] has on disk. If that is a directory, the others are merged into it. fresh says
// that the layers below have nothing there, so that nothing must be deleted.
func (w *walk) entry(paths []location, fresh bool) error {
	isDir, err := w.show(paths[0], fresh)
	if isGone(err) && w.lowers.number(paths[0]) == 0 {
		return nil
	}
	if err != nil || !isDir {
		return err
	}
	return w.children(paths[0], paths[1:], fresh)
}

// show visits a name, and tells whether it is a directory to go into.
func (w *walk) show(at location, fresh bool) (isDir bool, err error) {
	it := item{name: string(w.name), location: at}
	if it.st, err = it.stat(); err != nil {
		return false, err
	}
	isDir = it.st.Mode&unix.S_IFMT == unix.S_IFDIR
	if isMarkStat(at, &it.st) {
		it.kind = whiteout
	} else if kind, hidden := parseDeletion(filepath.Base(it.name)); !isDir && kind != noDeletion {
		it.kind, it.name = kind, filepath.Join(filepath.Dir(it.name), hidden)
	}
	switch it.kind {
	case noDeletion:
	case whiteout:
		if fresh || w.hidden > 0 && !w.hides(it.name) {
			return false, nil
		}
	default: // the mark of an opaque directory is visited with the directory; other marks are ignored
		return false, nil
	}
	if err := w.follow(&it); isGone(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return isDir, w.visit(it)
}

// hides tells whether the image has something under that name for a whiteout to hide.
func (w *walk) hides(name string) bool {
	_, ok := w.below.lookup(strings.Split(name, "/"))
	return ok
}

// children visits what is in a directory.
func (w *walk) children(at location, below []location, fresh bool) error {
	top, err := at.enter()
	if isGone(err) && w.lowers.number(at) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	dirs := []dir{top}
	defer func() { leave(dirs) }()
	redirect, err := readBelow(top.self(), layerfmt.RedirectXattr)
	if err != nil {
		return err
	}
	opaque := isOpaque(top)
	if !fresh && (redirect != nil || opaque) {
		if err := w.mark(top); err != nil {
			return err
		}
	}
	more, err := w.merged(top, redirect, below, opaque)
	if err != nil {
		return err
	}
	dirs = append(dirs, more...)
	return w.names(dirs, fresh || redirect != nil)
}

// mark visits the mark of an opaque directory.
func (w *walk) mark(d dir) error {
	st, err := d.self().stat()
	if err != nil {
		return err
	}
	return w.visit(item{name: string(w.name), location: d.self(), st: st, kind: opaqueMark})
}

// merged opens the directories that are merged into one: those that it refers to, or those below it.
func (w *walk) merged(top dir, redirect *layerfmt.Below, below []location, opaque bool) (dirs []dir, err error) {
	switch {
	case redirect == nil && opaque:
		return nil, nil
	case redirect == nil:
		return entered(below)
	case len(w.lowers) == 0:
		return nil, &os.PathError{Op: "find content of", Path: top.self().String(),
			Err: errors.New("it was renamed, and no layer below is known")}
	}
	for _, root := range w.referred(redirect) {
		d, err := openBelow(root, redirect.Path)
		if err != nil {
			leave(dirs)
			return nil, fmt.Errorf("find content of %s: %w", top.self(), lasting(err))
		}
		dirs = append(dirs, d)
	}
	return dirs, nil
}

// names visits the names in merged directories.
func (w *walk) names(dirs []dir, fresh bool) error {
	names, err := namesIn(dirs)
	if err != nil {
		return err
	}
	length := len(w.name)
	defer func() { w.name = w.name[:length] }()
	if length > 0 {
		w.name = append(w.name, '/')
	}
	start := len(w.name)
	for _, name := range names {
		paths := []location{dirs[0].child(name)}
		if fresh {
			if _, paths, _ = lookupStep(dirs, name); len(paths) == 0 {
				if err := unreadable(dirs, name); err != nil {
					return err
				}
				continue
			}
		}
		if w.name = append(w.name[:start], name...); len(w.name) > maxName {
			return fmt.Errorf("/%s: the name of %d bytes is longer than %d", w.name, len(w.name), maxName)
		}
		if err := w.entry(paths, fresh); err != nil {
			return err
		}
	}
	return nil
}

// unreadable tells why a name that some directories list cannot be looked up in them. For a deleted name it is nil.
func unreadable(dirs []dir, name string) error {
	for _, d := range dirs {
		_, err := readStat(d.child(name))
		if !isGone(err) {
			return err
		}
	}
	return nil
}

// referred returns the roots of the layers of the image that a reference names. The other layers lie between the image
// and the container, and what is in them is not the image's.
func (v view) referred(b *layerfmt.Below) (roots []dir) {
	image := v.image()
	for _, depth := range b.Layers {
		if depth <= len(image) {
			roots = append(roots, image[len(image)-depth])
		}
	}
	return roots
}

// openBelow opens the directory of a path, "." being the root, in a layer that nothing changes.
func openBelow(root dir, path string) (dir, error) {
	if path == "." {
		return root, nil
	}
	d := root
	for part := range strings.SplitSeq(path, "/") {
		next, err := d.child(part).enter()
		d.leave()
		if err != nil {
			return dir{}, err
		}
		d = next
	}
	return d, nil
}

// namesIn returns the names in all of some directories, sorted.
func namesIn(dirs []dir) (names []string, err error) {
	for _, d := range dirs {
		if names, err = d.names(names); err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
