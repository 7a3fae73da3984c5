package tree

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Lowers are the trees of a stack of layers, the nearest first. They are trees of image layers, which nothing changes
// any more.
type Lowers []Tree

// Lookup returns the entry at the given components; the root has none. ok is false if the stack has no such entry, or
// it cannot be read.
func (l Lowers) Lookup(parts []string) (st layerfmt.Stat, ok bool) {
	pool := &beneath.Pool{}
	defer pool.Close()
	s, err := l.open(pool)
	if err != nil {
		return st, false
	}
	defer s.close()
	return newFinder(s).lookup(parts)
}

// open opens all of the trees.
func (l Lowers) open(pool *beneath.Pool) (stack, error) {
	var s stack
	for _, t := range l {
		root, err := t.open(pool)
		if err != nil {
			s.close()
			return nil, err
		}
		s = append(s, root)
	}
	return s, nil
}

// stack has the roots of the trees of a stack of layers, the nearest first.
type stack []dir

// close closes what is known of xattrs. The directories are closed with their pool.
func (l stack) close() {
	for _, root := range l {
		root.xattrs.close()
	}
}

// locations returns the roots as files.
func (l stack) locations() []location {
	var roots []location
	for _, root := range l {
		roots = append(roots, root.self())
	}
	return roots
}

// number returns the number of the layer that a file is in, counted as by layerfmt.Below; 0 if it is in none.
func (l stack) number(at location) int {
	of, _ := at.dir.(*beneath.Dir)
	i := slices.IndexFunc(l, func(root dir) bool { return of != nil && of.Root() == root.Dir })
	if i < 0 {
		return 0
	}
	return len(l) - i
}

// finder answers what a union of a stack shows. It remembers the way to the last name that it was asked for, because
// most questions are about names near that.
type finder struct {
	stack
	parts []string
	dirs  [][]dir // those that are merged at parts[:i]
}

func newFinder(s stack) *finder { return &finder{stack: s} }

// lookup is Lowers.Lookup.
func (f *finder) lookup(parts []string) (st layerfmt.Stat, ok bool) {
	st, _, ok = f.find(parts)
	return st, ok
}

// find is lookup that also returns where on disk the entry is, as lookupStep does.
func (f *finder) find(parts []string) (st layerfmt.Stat, paths []location, ok bool) {
	if len(f.stack) == 0 {
		return st, nil, false
	}
	if len(parts) == 0 {
		st, err := readStat(f.stack[0].self())
		return st, f.locations(), err == nil
	}
	last := len(parts) - 1
	dirs, ok := f.enter(parts[:last])
	if !ok {
		return st, nil, false
	}
	return lookupStep(dirs, parts[last])
}

// enter opens what is merged into a directory.
func (f *finder) enter(parts []string) (dirs []dir, ok bool) {
	if f.dirs == nil {
		roots, err := entered(f.locations())
		if err != nil || len(roots) == 0 {
			return nil, false
		}
		f.dirs = [][]dir{roots}
	}
	same := 0
	for same < min(len(parts), len(f.parts)) && parts[same] == f.parts[same] {
		same++
	}
	for len(f.parts) > same {
		leave(f.dirs[len(f.parts)])
		f.parts, f.dirs = f.parts[:len(f.parts)-1], f.dirs[:len(f.parts)]
	}
	for _, part := range parts[same:] {
		st, paths, ok := lookupStep(f.dirs[len(f.parts)], part)
		if !ok || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil, false
		}
		next, err := entered(paths)
		if err != nil || len(next) == 0 {
			return nil, false
		}
		f.parts, f.dirs = append(f.parts, part), append(f.dirs, next)
	}
	return f.dirs[len(f.parts)], true
}

// names lists what a directory shows, "" being the root. It lists nothing if there is no such directory.
func (f *finder) names(path string) ([]string, error) {
	var parts []string
	if path != "" {
		parts = strings.Split(path, "/")
	}
	dirs, ok := f.enter(parts)
	if !ok {
		return nil, nil
	}
	names, err := namesIn(dirs)
	return slices.DeleteFunc(names, func(name string) bool {
		_, _, shown := lookupStep(dirs, name)
		return !shown
	}), err
}

// lookupStep looks name up in directories that are merged, and returns what is there and where that is on disk: the one
// that shows and, if that is a directory, those that are merged into it, unless it is opaque.
func lookupStep(dirs []dir, name string) (st layerfmt.Stat, paths []location, ok bool) {
	for _, d := range dirs {
		here, seen := probe(d, name)
		found := ok
		shows, more := layerfmt.Merge(found, seen)
		if shows && !found {
			st, ok = here, true
		}
		if shows {
			paths = append(paths, d.child(name))
		}
		if more {
			seen.Covered = hiddenByFile(d, name)
			_, more = layerfmt.Merge(found, seen)
		}
		if !more {
			break
		}
	}
	return st, paths, ok
}

// probe looks name up in one directory. It leaves out the marks that are files, and those of an opaque directory, which
// count when it is entered. What cannot be read is taken for a whiteout, so that nothing below is taken for it.
func probe(d dir, name string) (st layerfmt.Stat, seen layerfmt.Seen) {
	at := d.child(name)
	disk, err := at.stat()
	if err == nil && isMarkStat(at, &disk) {
		return st, layerfmt.Seen{Kind: layerfmt.File, Whiteout: true}
	}
	if err == nil {
		st, err = logicalStat(at, &disk)
	}
	switch {
	case err == nil:
		return st, layerfmt.Seen{Kind: layerfmt.KindOf(st.Mode)}
	case errors.Is(err, fs.ErrNotExist):
		return st, layerfmt.Seen{}
	}
	return st, layerfmt.Seen{Kind: layerfmt.File, Whiteout: true}
}

// hiddenByFile tells whether a directory has a whiteout of name that is a file beside it.
func hiddenByFile(d dir, name string) bool {
	_, err := d.child(layerfmt.WhiteoutPrefix + name).stat()
	return err == nil
}

// isMark tells whether the file itself is a whiteout.
func isMark(at location) bool {
	st, err := at.stat()
	return err == nil && isMarkStat(at, &st)
}

// isMarkStat is isMark for a file whose identity on disk is st.
func isMarkStat(at location, st *unix.Stat_t) bool {
	return isWhiteoutStat(st) || st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 &&
		at.hasXattr(layerfmt.WhiteoutXattrs)
}

// isOpaque tells whether a directory hides what the layers below have in it.
func isOpaque(d dir) bool {
	for _, name := range layerfmt.OpaqueXattrs {
		if value, err := d.self().getXattr(name); err == nil && value == "y" {
			return true
		}
	}
	_, err := d.child(layerfmt.OpaqueMarker).stat()
	return err == nil
}
