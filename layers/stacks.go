package layers

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/tree"
)

// overlayLayout finds the files of the library's overlay driver.
type overlayLayout struct{ home string }

// lowersName is the file in which the driver lists the layers below one, by links relative to its home, as the kernel
// takes them.
const lowersName = "lower"

// stack returns the directories of a container's layer.
func (l overlayLayout) stack(id string) (layerfmt.Stack, error) {
	dir := filepath.Join(l.home, filepath.Base(id))
	stack := layerfmt.Stack{Driver: DriverOverlay, Upper: filepath.Join(dir, diffDir), Work: filepath.Join(dir, workDir)}
	if _, err := os.Stat(stack.Upper); err != nil {
		return layerfmt.Stack{}, err
	}
	text, err := os.ReadFile(filepath.Join(dir, lowersName))
	if errors.Is(err, os.ErrNotExist) {
		return stack, nil
	}
	for _, link := range strings.Split(string(text), ":") {
		stack.Lowers = append(stack.Lowers, layerfmt.Lower{Dir: filepath.Join(l.home, link)})
	}
	return stack, err
}

// vfsLayout finds the files of the library's driver vfs.
type vfsLayout struct{ home string }

// stack returns the directory of a container's layer.
func (l vfsLayout) stack(id string) (layerfmt.Stack, error) {
	dir := l.tree(id)
	_, err := os.Stat(dir)
	return layerfmt.Stack{Driver: DriverVFS, Upper: dir}, err
}

// tree returns where the driver keeps the tree of a layer.
func (l vfsLayout) tree(id string) string { return filepath.Join(l.home, layersDir, filepath.Base(id)) }

// copy returns the tree of a container: a copy of the tree of the layer parent, "" for none, into which all was put that
// lies in layers between with other drivers.
func (l vfsLayout) copy(id, parent string, between []string) tree.Copy {
	c := tree.Copy{Tree: tree.Tree{Dir: l.tree(id), HostOwned: true}}
	if parent != "" {
		c.Of = tree.Lowers{{Dir: l.tree(parent), HostOwned: true}}
	}
	for _, dir := range between {
		c.Between = append(c.Between, tree.Tree{Dir: dir, HostOwned: true})
	}
	return c
}
