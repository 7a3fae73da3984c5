package tree

import (
	"errors"
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

// walk visits all that the tree says of names: a directory before what is in it, names sorted. A directory that was
// renamed comes as if it had been made anew, with all that is to be seen in it.
func (v view) walk(visit func(item) error) error {
	w := &walk{view: v, visit: visit}
	return w.entry("", []location{v.top}, false)
}

// walkUnion visits all that is to be seen of the tree and of the image below it together, in the same order.
func (v view) walkUnion(visit func(item) error) error {
	w := &walk{view: v, visit: visit}
	return w.entry("", append(stack{v.top}, v.image()...).visible(), true)
}

type walk struct {
	view
	visit func(item) error
}

// entry visits a name, which paths[0] has on disk; if that is a directory, the others are merged into it. anew says
// that the layers below have nothing there, so that nothing is to be deleted.
func (w *walk) entry(name string, paths []location, anew bool) (err error) {
	it := item{name: name, location: paths[0]}
	if it.st, err = it.stat(); err != nil {
		return err
	}
	isDir := it.st.Mode&unix.S_IFMT == unix.S_IFDIR
	if isMark(it.location) {
		it.kind = whiteout
	} else if kind, hidden := parseDeletion(filepath.Base(name)); !isDir && kind != noDeletion {
		it.kind, it.name = kind, filepath.Join(filepath.Dir(name), hidden)
	}
	switch it.kind {
	case noDeletion:
	case whiteout:
		if anew || w.hidden > 0 && !w.hides(it.name) {
			return nil
		}
	default: // of an opaque directory it is said with the directory; others say nothing
		return nil
	}
	if err := w.follow(&it); err != nil {
		return err
	}
	if err := w.visit(it); err != nil || !isDir {
		return err
	}
	return w.children(it, paths[1:], anew)
}

// hides tells whether the image has something of that name for a whiteout to hide.
func (w *walk) hides(name string) bool {
	_, ok := w.image().lookup(strings.Split(name, "/"))
	return ok
}

func (w *walk) children(it item, below []location, anew bool) error {
	redirect, err := readBelow(it.location, layerfmt.RedirectXattr)
	if err != nil {
		return err
	}
	if !anew && (redirect != nil || isOpaque(it.location)) {
		if err := w.visit(item{name: it.name, location: it.location, st: it.st, kind: opaqueMark}); err != nil {
			return err
		}
	}
	if redirect != nil {
		if len(w.lowers) == 0 {
			return &os.PathError{Op: "find content of", Path: it.path, Err: errors.New("it was renamed, and no layer below is known")}
		}
		below, anew = w.directories(redirect), true
	}
	dirs := append([]location{it.location}, below...)
	names, err := namesIn(dirs)
	if err != nil {
		return err
	}
	for _, name := range names {
		paths := []location{it.child(name)}
		if anew {
			if _, paths, _ = lookupStep(dirs, name); len(paths) == 0 {
				if err := unreadable(dirs, name); err != nil {
					return err
				}
				continue
			}
		}
		if err := w.entry(filepath.Join(it.name, name), paths, anew); err != nil {
			return err
		}
	}
	return nil
}

// unreadable tells why a name that some directories list cannot be looked up in them. For a deleted one it is nil.
func unreadable(dirs []location, name string) error {
	for _, dir := range dirs {
		_, err := readStat(dir.child(name))
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// directories returns the directories of the image that a reference names. The others lie between the image and the
// container, and what is in them is none of the image's.
func (v view) directories(b *layerfmt.Below) []location {
	image := v.image()
	var dirs []location
	for _, depth := range b.Layers {
		if depth <= len(image) {
			dirs = append(dirs, image[len(image)-depth].child(b.Path))
		}
	}
	return dirs
}

// namesIn returns the names in all of some directories, sorted.
func namesIn(dirs []location) ([]string, error) {
	var names []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir.path)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
