package tree

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Lowers are the trees of a stack of layers, the nearest first. They answer what a union of them shows. The trees
// are those of image layers, which nobody changes any more.
type Lowers []string

// Lookup returns the entry at the given components, none being the root. ok is false where the stack has none, or
// it cannot be read.
func (l Lowers) Lookup(parts []string) (st layerfmt.Stat, ok bool) {
	st, _, ok = l.find(parts)
	return st, ok
}

// find is Lookup that also returns where on disk the entry is, as lookupStep does.
func (l Lowers) find(parts []string) (st layerfmt.Stat, paths []string, ok bool) {
	if len(l) == 0 {
		return layerfmt.Stat{}, nil, false
	}
	st, err := ReadStat(l[0])
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
func (l Lowers) names(dir string) ([]string, error) {
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
func (l Lowers) visible() []string {
	for i, dir := range l {
		if isOpaque(dir) {
			return l[:i+1]
		}
	}
	return l
}

// lookupStep looks name up in directories that are merged, and returns what is there and its paths on disk: the one
// that shows and, if that is a directory, those that are merged into it.
func lookupStep(dirs []string, name string) (st layerfmt.Stat, paths []string, ok bool) {
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
		path := filepath.Join(dir, name)
		paths = append(paths, path)
		if !isDir || isOpaque(path) || hiddenByFile(dir, name) {
			break
		}
	}
	return st, paths, ok
}

// probe looks name up in one directory. hidden says that the layers below do not count, because the name is deleted
// here or cannot be read.
func probe(dir, name string) (st layerfmt.Stat, found, hidden bool) {
	path := filepath.Join(dir, name)
	st, err := ReadStat(path)
	if err == nil {
		mark := isMark(path)
		return st, !mark, mark
	}
	return st, false, !os.IsNotExist(err) || hiddenByFile(dir, name)
}

// hiddenByFile tells whether dir has a whiteout of name that is a file beside it.
func hiddenByFile(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, layerfmt.WhiteoutPrefix+name))
	return err == nil
}

// isMark tells whether the file itself is a whiteout.
func isMark(path string) bool {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return false
	}
	return isWhiteoutStat(&st) || st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 && hasXattr(path, layerfmt.WhiteoutXattr)
}

// isOpaque tells whether a directory hides what the layers below have in it.
func isOpaque(dir string) bool {
	for _, name := range layerfmt.OpaqueXattrs {
		if value, err := getXattr(dir, name); err == nil && value == "y" {
			return true
		}
	}
	_, err := os.Lstat(filepath.Join(dir, layerfmt.OpaqueMarker))
	return err == nil
}
