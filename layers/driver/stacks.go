package driver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/tree"
)

// OverlayLayout finds the files of the library's overlay driver.
type OverlayLayout struct{ Home string }

// lowersName is the file in which the overlay driver lists the layers below a layer: links relative to its home, in the
// form that the kernel takes.
const lowersName = "lower"

// Stack returns the directories of a container's layer.
func (l OverlayLayout) Stack(id string) (layerfmt.Stack, error) {
	dir := filepath.Join(l.Home, filepath.Base(id))
	stack := layerfmt.Stack{Driver: Overlay, Upper: filepath.Join(dir, DiffDir), Work: filepath.Join(dir, WorkDir)}
	if _, err := os.Stat(stack.Upper); err != nil {
		return layerfmt.Stack{}, err
	}
	text, err := os.ReadFile(filepath.Join(dir, lowersName))
	if errors.Is(err, os.ErrNotExist) {
		return stack, nil
	}
	for _, link := range strings.Split(string(text), ":") {
		stack.Lowers = append(stack.Lowers, layerfmt.Lower{Dir: filepath.Join(l.Home, link)})
	}
	return stack, err
}

// VFSLayout finds the files of the library's driver vfs.
type VFSLayout struct{ Home string }

// Stack returns the directory of a container's layer.
func (l VFSLayout) Stack(id string) (layerfmt.Stack, error) {
	dir := l.Tree(id)
	_, err := os.Stat(dir)
	return layerfmt.Stack{Driver: VFS, Upper: dir}, err
}

// Tree returns where the driver keeps the tree of a layer.
func (l VFSLayout) Tree(id string) string { return filepath.Join(l.Home, layersDir, filepath.Base(id)) }

// Copy returns the tree of a container. It is a copy of the tree of the layer parent, "" for none. What other drivers
// keep in layers between was put into the copy.
func (l VFSLayout) Copy(id, parent string, between []string) tree.Copy {
	c := tree.Copy{Tree: tree.Tree{Dir: l.Tree(id), HostOwned: true}}
	if parent != "" {
		c.Of = tree.Lowers{{Dir: l.Tree(parent), HostOwned: true}}
	}
	for _, dir := range between {
		c.Between = append(c.Between, tree.Tree{Dir: dir, HostOwned: true})
	}
	return c
}
