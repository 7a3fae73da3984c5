package engine

import (
	"errors"
	"path"

	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// walk returns the node at a path. Links are followed, but not out of the tree. What is missing is made by the
// function, or ENOENT without one.
func (t tree) walk(name string, missing func(dir *unionmount.Node, name string) (*unionmount.Node, error)) (
	*unionmount.Node, error) {
	const maxLinks = 40
	links := 0
	at := []*unionmount.Node{t.union.Root()} // and the nodes on the way to the last
	for todo := split(name); len(todo) > 0; {
		name, todo = todo[0], todo[1:]
		switch {
		case name == ".":
			continue
		case name == "..":
			at = at[:max(1, len(at)-1)]
			continue
		}
		dir := at[len(at)-1]
		node, _, err := t.union.Lookup(dir, name)
		if errors.Is(err, unix.ENOENT) && missing != nil {
			node, err = missing(dir, name)
		}
		if err != nil {
			return nil, err
		}
		if node.Kind() != unix.S_IFLNK {
			at = append(at, node)
			continue
		}
		target, err := t.union.Readlink(node)
		if links++; links > maxLinks {
			err = unix.ELOOP
		}
		if err != nil {
			return nil, err
		}
		if path.IsAbs(target) {
			at = at[:1]
		}
		todo = append(split(target), todo...)
	}
	return at[len(at)-1], nil
}

// makeRootsDir makes a directory of root's.
func (t tree) makeRootsDir(dir *unionmount.Node, name string) (*unionmount.Node, error) {
	return t.create(dir, name, unix.S_IFDIR)
}

// readFile returns the content of a regular file of up to limit bytes.
func (t tree) readFile(node *unionmount.Node, limit int64) ([]byte, error) {
	attr, err := t.union.Getattr(node)
	if err != nil {
		return nil, err
	}
	if attr.Size > limit {
		return nil, unix.EFBIG
	}
	text := make([]byte, attr.Size)
	n, err := t.union.Read(node, text, 0)
	return text[:n], err
}
