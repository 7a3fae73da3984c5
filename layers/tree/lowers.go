package tree

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Lowers are the trees of a stack of layers, the nearest first. The trees are those of image layers, which nobody changes
// any more.
type Lowers []Tree

// Lookup returns the entry at the given components, none being the root. ok is false where the stack has none, or
// it cannot be read.
func (l Lowers) Lookup(parts []string) (st layerfmt.Stat, ok bool) {
	s, err := l.open()
	if err != nil {
		return st, false
	}
	defer s.close()
	return s.lookup(parts)
}

// open opens all of the trees.
func (l Lowers) open() (stack, error) {
	var s stack
	for _, t := range l {
		root, err := t.open()
		if err != nil {
			s.close()
			return nil, err
		}
		s = append(s, root)
	}
	return s, nil
}

// stack are the roots of the trees of a stack of layers, the nearest first. It answers what a union of them shows.
type stack []location

func (l stack) close() {
	for _, root := range l {
		root.xattrs.close()
	}
}

// lookup is Lowers.Lookup.
func (l stack) lookup(parts []string) (st layerfmt.Stat, ok bool) {
	st, _, ok = l.find(parts)
	return st, ok
}

// find is lookup that also returns where on disk the entry is, as lookupStep does.
func (l stack) find(parts []string) (st layerfmt.Stat, paths []location, ok bool) {
	if len(l) == 0 {
		return layerfmt.Stat{}, nil, false
	}
	st, err := readStat(l[0])
	paths, ok = l.visible(), err == nil
	for _, part := range parts {
		if !ok || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return layerfmt.Stat{}, nil, false
		}
		st, paths, ok = lookupStep(paths, part)
	}
	return st, paths, ok
}

// names lists what a directory shows, "" being the root; nothing if there is no such directory.
func (l stack) names(dir string) ([]string, error) {
	var parts []string
	if dir != "" {
		parts = strings.Split(dir, "/")
	}
	st, paths, ok := l.find(parts)
	if !ok || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, nil
	}
	names, err := namesIn(paths)
	return slices.DeleteFunc(names, func(name string) bool {
		_, _, shown := lookupStep(paths, name)
		return !shown
	}), err
}

// visible leaves out the trees below one whose root hides them.
func (l stack) visible() []location {
	for i, dir := range l {
		if isOpaque(dir) {
			return l[:i+1]
		}
	}
	return l
}

// lookupStep looks name up in directories that are merged, and returns what is there and its paths on disk: the one
// that shows and, if that is a directory, those that are merged into it.
func lookupStep(dirs []location, name string) (st layerfmt.Stat, paths []location, ok bool) {
	for _, dir := range dirs {
		here, found, hidden := probe(dir, name)
		if hidden {
			break
		}
		isDir := here.Mode&unix.S_IFMT == unix.S_IFDIR
		if !found {
			continue
		}
		if ok && !isDir {
			break
		}
		if !ok {
			st, ok = here, true
		}
		path := dir.child(name)
		paths = append(paths, path)
		if !isDir || isOpaque(path) || hiddenByFile(dir, name) {
			break
		}
	}
	return st, paths, ok
}

// probe looks name up in one directory. hidden says that the layers below do not count, because the name is deleted
// here or cannot be read.
func probe(dir location, name string) (st layerfmt.Stat, found, hidden bool) {
	path := dir.child(name)
	st, err := readStat(path)
	if err == nil {
		mark := isMark(path)
		return st, !mark, mark
	}
	return st, false, !os.IsNotExist(err) || hiddenByFile(dir, name)
}

// hiddenByFile tells whether dir has a whiteout of name that is a file beside it.
func hiddenByFile(dir location, name string) bool {
	_, err := os.Lstat(filepath.Join(dir.path, layerfmt.WhiteoutPrefix+name))
	return err == nil
}

// isMark tells whether the file itself is a whiteout.
func isMark(at location) bool {
	st, err := at.stat()
	if err != nil {
		return false
	}
	return isWhiteoutStat(&st) || st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 && at.hasXattr(layerfmt.WhiteoutXattr)
}

// isOpaque tells whether a directory hides what the layers below have in it.
func isOpaque(dir location) bool {
	for _, name := range layerfmt.OpaqueXattrs {
		if value, err := dir.getXattr(name); err == nil && value == "y" {
			return true
		}
	}
	_, err := os.Lstat(filepath.Join(dir.path, layerfmt.OpaqueMarker))
	return err == nil
}
