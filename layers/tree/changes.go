package tree

import (
	"context"
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

// Changes lists what a tree changes in the layers below it, sorted by path. Its cost depends on the tree only and not
// on the layers below, except for what is in directories that the tree renames or makes. A directory that is only there
// because of its content is listed as modified if something in it has changed. The root is not listed, nor what is in
// the layers that w hides, if the tree is a container's.
func Changes(ctx context.Context, t Tree, lowers Lowers, w Writable) ([]Change, error) {
	v, err := newView(t, lowers, w)
	if err != nil {
		return nil, err
	}
	defer v.close()
	c := &changes{view: v, kinds: map[string]ChangeKind{}, shown: map[string]bool{}}
	err = v.walk(func(it item) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return c.add(it)
	})
	if err != nil {
		return nil, err
	}
	for _, dir := range c.opaque {
		if err := c.addHidden(dir); err != nil {
			return nil, err
		}
	}
	if err := c.addUntouched(); err != nil {
		return nil, err
	}
	return withParents(c.kinds), nil
}

// changes collects the changes by name.
type changes struct {
	view
	kinds  map[string]ChangeKind
	shown  map[string]bool // what the tree has, changed or not; true for a directory
	opaque []string        // directories of the tree that show nothing of the image's
}

// add takes in what the tree says of a name.
func (c *changes) add(it item) error {
	if it.kind == opaqueMark {
		c.opaque = append(c.opaque, it.name)
		return nil
	}
	if it.name == "" {
		return nil
	}
	_, below, exists := c.below.find(strings.Split(it.name, "/"))
	if it.kind == whiteout {
		if exists {
			c.kinds[it.name] = Deleted
		}
		return nil
	}
	c.shown[it.name] = it.st.Mode&unix.S_IFMT == unix.S_IFDIR
	if !exists {
		c.kinds[it.name] = Added
		return nil
	}
	same, err := c.same(it, below[0])
	if err == nil && !same {
		c.kinds[it.name] = Modified
	}
	return err
}

// same tells whether an entry is the same as another one, which is below it. A file in the tree itself never is,
// whatever its attributes: a process has written to it.
func (c *changes) same(it item, other location) (bool, error) {
	if it.st.Mode&unix.S_IFMT != unix.S_IFDIR && c.lowers.number(it.location) == 0 {
		return false, nil
	}
	st, err := other.stat()
	if err != nil {
		return false, err
	}
	below := item{location: other, st: st}
	is, err := featureOf(it)
	if err != nil {
		return false, err
	}
	was, err := featureOf(below)
	return is.equal(was), err
}

// addHidden adds what the opaque directory dir hides.
func (c *changes) addHidden(dir string) error {
	names, err := c.below.names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		name = filepath.Join(dir, name)
		isDir, shown := c.shown[name]
		switch {
		case !shown:
			c.kinds[name] = Deleted
		case isDir:
			if err := c.addHidden(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// addUntouched adds the names that the tree does not have although it changes their file.
func (c *changes) addUntouched() error {
	if len(c.links) == 0 {
		return nil
	}
	names, err := c.untouched()
	for _, it := range names {
		c.kinds[it.name] = Modified
	}
	return err
}
