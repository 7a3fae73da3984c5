package tree

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ChangeKind says what a layer does to a name.
type ChangeKind int

// The kinds of changes.
const (
	Added ChangeKind = iota
	Modified
	Deleted
)

// Change is one name that a layer changes, as an absolute path in the container.
type Change struct {
	Path string
	Kind ChangeKind
}

// Changes lists what the tree at dir changes in the layers below it, in lexical order of the directories' contents.
// Its cost depends on the tree only, not on the layers below, but for what renamed directories contain. A directory
// that is there because of what it contains is listed as modified.
func Changes(dir string, lowers Lowers) ([]Change, error) {
	return WritableChanges(dir, lowers, Writable{})
}

// WritableChanges is Changes for the layer of a container, which it leaves the hidden layers out of.
func WritableChanges(dir string, lowers Lowers, w Writable) ([]Change, error) {
	v, err := newView(lowers, w)
	if err != nil {
		return nil, err
	}
	changes, err := v.changes(dir)
	if err != nil || len(v.links) == 0 {
		return changes, err
	}
	return v.addUntouched(changes, dir)
}

// addUntouched adds the names that the tree does not have, and whose file it changes all the same.
func (v view) addUntouched(changes []Change, dir string) ([]Change, error) {
	names, err := v.untouched(dir)
	if err != nil || len(names) == 0 {
		return changes, err
	}
	changed := map[string]ChangeKind{}
	for _, c := range changes {
		changed[c.Path[1:]] = c.Kind
	}
	for _, it := range names {
		changed[it.name] = Modified
	}
	return withParents(changed), nil
}

func (v view) changes(dir string) ([]Change, error) {
	lowers := v.image()
	var changes []Change
	err := v.walk(dir, func(it item) error {
		if it.name == "" || it.kind == opaqueMark {
			return nil
		}
		change := Change{"/" + it.name, Added}
		if it.kind == whiteout {
			change.Kind = Deleted
		} else if _, ok := lowers.Lookup(strings.Split(it.name, "/")); ok {
			change.Kind = Modified
		}
		changes = append(changes, change)
		return nil
	})
	return changes, err
}

// Size returns the sum of the sizes in bytes of the regular files of a tree, each inode once.
func Size(dir string) (int64, error) {
	var size int64
	seen := map[inode]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return ignoreGone(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return ignoreGone(&os.PathError{Op: "stat", Path: path, Err: err})
		}
		if id := (inode{st.Dev, st.Ino}); st.Nlink > 1 && !seen[id] {
			seen[id] = true
		} else if st.Nlink > 1 {
			return nil
		}
		size += st.Size
		return nil
	})
	return size, err
}

// ignoreGone passes over files that a running container removes while its layer is measured.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
