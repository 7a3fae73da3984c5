package tree

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// item is what a layer says of a name.
type item struct {
	name string      // relative to the root: of the entry, of what is deleted, or of the directory that is opaque
	path string      // of the file on disk; what a renamed directory contains may lie in a layer below
	st   unix.Stat_t // of that file
	kind deletion    // noDeletion of an entry, whiteout or opaqueMark
}

// walk visits all that the tree at dir, which is above l, says of names: a directory before what is in it, names
// sorted. A directory that was renamed comes as if it had been made anew, with all that is to be seen in it.
func (l Lowers) walk(dir string, visit func(item) error) error {
	w := &walk{lowers: l, visit: visit}
	return w.entry("", []string{dir}, false)
}

// walkUnion visits all that is to be seen of the tree at dir and of l below it together, in the same order.
func (l Lowers) walkUnion(dir string, visit func(item) error) error {
	w := &walk{lowers: l, visit: visit}
	return w.entry("", append(Lowers{dir}, l...).visible(), true)
}

type walk struct {
	lowers Lowers
	visit  func(item) error
}

// entry visits a name, which paths[0] has on disk; if that is a directory, the others are merged into it. anew says
// that the layers below have nothing there, so that nothing is to be deleted.
func (w *walk) entry(name string, paths []string, anew bool) error {
	it := item{name: name, path: paths[0]}
	if err := unix.Lstat(it.path, &it.st); err != nil {
		return &os.PathError{Op: "stat", Path: it.path, Err: err}
	}
	isDir := it.st.Mode&unix.S_IFMT == unix.S_IFDIR
	if isMark(it.path) {
		it.kind = whiteout
	} else if kind, hidden := parseDeletion(filepath.Base(name)); !isDir && kind != noDeletion {
		it.kind, it.name = kind, filepath.Join(filepath.Dir(name), hidden)
	}
	switch it.kind {
	case noDeletion:
	case whiteout:
		if anew {
			return nil
		}
	default: // of an opaque directory it is said with the directory; others say nothing
		return nil
	}
	if err := w.visit(it); err != nil || !isDir {
		return err
	}
	return w.children(it, paths[1:], anew)
}

func (w *walk) children(it item, below []string, anew bool) error {
	redirect, err := readBelow(it.path, layerfmt.RedirectXattr)
	if err != nil {
		return err
	}
	if !anew && (redirect != nil || isOpaque(it.path)) {
		if err := w.visit(item{name: it.name, path: it.path, st: it.st, kind: opaqueMark}); err != nil {
			return err
		}
	}
	if redirect != nil {
		if len(w.lowers) == 0 {
			return &os.PathError{Op: "find content of", Path: it.path, Err: errors.New("it was renamed, and no layer below is known")}
		}
		below, anew = w.lowers.directories(redirect), true
	}
	dirs := append([]string{it.path}, below...)
	names, err := namesIn(dirs)
	if err != nil {
		return err
	}
	for _, name := range names {
		paths := []string{filepath.Join(it.path, name)}
		if anew {
			if _, paths, _ = lookupStep(dirs, name); len(paths) == 0 {
				continue
			}
		}
		if err := w.entry(filepath.Join(it.name, name), paths, anew); err != nil {
			return err
		}
	}
	return nil
}

// directories returns the directories that a reference names. A layer that is not in l is one that lies between it
// and the container, and whose content is none of an image's.
func (l Lowers) directories(b *layerfmt.Below) []string {
	var dirs []string
	for _, depth := range b.Layers {
		if depth <= len(l) {
			dirs = append(dirs, filepath.Join(l[len(l)-depth], b.Path))
		}
	}
	return dirs
}

// namesIn returns the names in all of some directories, sorted.
func namesIn(dirs []string) ([]string, error) {
	var names []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
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
