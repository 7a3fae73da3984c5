package layers

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.podman.io/storage/pkg/archive"
	"golang.org/x/sys/unix"
)

// vfsLayer is the tree of a container with DriverVFS: a copy of its image's tree, into which all was put that with other
// drivers lies in layers between.
type vfsLayer struct {
	tree, image string
	between     []string // of what lies between, each a tree
}

// vfsTree returns where the driver keeps the tree of a layer.
func (s *Store) vfsTree(id string) string {
	return filepath.Join(s.root, DriverVFS, "dir", filepath.Base(id))
}

// ownChanges leaves out of all changes what lies between, and the directories that are listed for it alone.
func (l vfsLayer) ownChanges(all []archive.Change) []archive.Change {
	needed := map[string]bool{} // directories of what is left
	var own []archive.Change
	slices.SortFunc(all, func(a, b archive.Change) int { return strings.Compare(b.Path, a.Path) }) // what is in a directory before it
	for _, c := range all {
		if !needed[c.Path] && l.isBetween(c) {
			continue
		}
		own = append(own, c)
		needed[filepath.Dir(c.Path)] = true
	}
	slices.Reverse(own)
	return own
}

// isBetween tells whether a change is not the container's: it is as it was put there, or a directory that is as the
// image has it.
func (l vfsLayer) isBetween(c archive.Change) bool {
	switch c.Kind {
	case archive.ChangeAdd:
		return slices.ContainsFunc(l.between, func(tree string) bool { return alike(filepath.Join(tree, c.Path), filepath.Join(l.tree, c.Path)) })
	case archive.ChangeModify:
		is, err := os.Lstat(filepath.Join(l.tree, c.Path))
		return err == nil && is.IsDir() && alike(filepath.Join(l.image, c.Path), filepath.Join(l.tree, c.Path))
	}
	return false
}

// alike tells whether two files have the same type, permissions and owner, and are empty if they are regular files. What
// is in directories does not count.
func alike(a, b string) bool {
	var x, y unix.Stat_t
	if unix.Lstat(a, &x) != nil || unix.Lstat(b, &y) != nil || x.Mode != y.Mode || x.Uid != y.Uid || x.Gid != y.Gid {
		return false
	}
	switch x.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return true
	case unix.S_IFREG:
		return x.Size == 0 && y.Size == 0
	case unix.S_IFLNK:
		is, err1 := os.Readlink(a)
		was, err2 := os.Readlink(b)
		return err1 == nil && err2 == nil && is == was
	}
	return false
}

// vfsDiff returns the tar of what a container has changed.
func (s *Store) vfsDiff(id string, between []string) (io.ReadCloser, error) {
	changes, err := s.changesByLibrary(id, between)
	if err != nil {
		return nil, err
	}
	return archive.ExportChanges(s.vfsTree(id), changes, nil, nil)
}

// changesByLibrary lists what a container has changed, of a driver of the library's.
func (s *Store) changesByLibrary(id string, between []string) ([]archive.Change, error) {
	all, err := s.lib.Changes("", id)
	if err != nil || s.driver != DriverVFS {
		return all, err
	}
	layer, err := s.lib.Layer(id)
	if err != nil {
		return nil, err
	}
	l := vfsLayer{tree: s.vfsTree(id), between: between}
	if layer.Parent != "" {
		l.image = s.vfsTree(layer.Parent)
	}
	return l.ownChanges(all), nil
}
