package driver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/xattrlog"
	"github.com/rcrun/rcrun/layers/tree"
)

// The entries of a layer's directory.
const (
	layersDir  = "dir" // of all layers; the name is the library's
	DiffDir    = "diff"
	IndexName  = "index" // of the tree
	WorkDir    = "work"
	parentName = "parent"
	quotaName  = "quota" // of a layer that is limited
)

// CheckID refuses an id that would name another directory than a layer's own. The library does not check that: asked to
// remove the layer "..", it removes the directory of all layers.
func CheckID(id string) error {
	if id == "" || strings.HasPrefix(id, ".") || strings.Contains(id, "/") {
		return fault.Errorf(errdefs.ErrInvalidArgument, "%q is not an id", id)
	}
	return nil
}

// Layout finds the files of layers below the driver's home directory.
type Layout struct {
	Home  string
	Plain bool // the trees are plain files: see plainName
}

// Layer returns the directory of a layer, Diff the layer's tree, Index the index of the tree, and work the work
// directory of a container's layer.
func (l Layout) Layer(id string) string { return filepath.Join(l.Home, layersDir, filepath.Base(id)) }
func (l Layout) Diff(id string) string  { return filepath.Join(l.Layer(id), DiffDir) }
func (l Layout) Index(id string) string { return filepath.Join(l.Layer(id), IndexName) }
func (l Layout) work(id string) string  { return filepath.Join(l.Layer(id), WorkDir) }

// Staging returns the directory of unfinished trees.
func (l Layout) Staging() string { return filepath.Join(l.Home, "staging") }
func (l Layout) mounts() string  { return filepath.Join(l.Home, "mounts") }
func (l Layout) mountPoint(id string) string {
	return filepath.Join(l.mounts(), filepath.Base(id), "root")
}
func (l Layout) mountWork(id string) string {
	return filepath.Join(l.mounts(), filepath.Base(id), WorkDir)
}

// Tree returns the tree of a layer.
func (l Layout) Tree(id string) tree.Tree {
	t := tree.Tree{Dir: l.Diff(id)}
	if !l.Plain {
		return t
	}
	if _, err := os.Stat(l.work(id)); err == nil {
		t.Side = recordIn(l.work(id))
	} else {
		t.Index = l.Index(id)
	}
	return t
}

// Between returns the tree at dir, which is not a layer of the store but was written like one.
func (l Layout) Between(dir string) tree.Tree {
	t := tree.Tree{Dir: dir}
	if l.Plain {
		t.Side = recordIn(filepath.Join(filepath.Dir(dir), WorkDir))
	}
	return t
}

// recordIn returns the record of xattrs in a work directory.
func recordIn(work string) string { return filepath.Join(work, xattrlog.Name) }

func (l Layout) parentFile(id string) string { return filepath.Join(l.Layer(id), parentName) }
func (l Layout) quotaFile(id string) string  { return filepath.Join(l.Layer(id), quotaName) }

// Parent returns the id of the layer below, "" when there is none.
func (l Layout) Parent(id string) (string, error) {
	data, err := os.ReadFile(l.parentFile(id))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}

// MaxLayers bounds the length of a chain of parents, so that a chain that leads back to itself ends.
const MaxLayers = 1024

// Chain returns the trees of the layer id and of those below it, the nearest first. For "" there are none.
func (l Layout) Chain(id string) (tree.Lowers, error) {
	var dirs tree.Lowers
	for id != "" {
		if len(dirs) == MaxLayers {
			return nil, fmt.Errorf("layer %s has more than %d layers below it", id, MaxLayers)
		}
		dirs = append(dirs, l.Tree(id))
		next, err := l.Parent(id)
		if err != nil {
			return nil, fmt.Errorf("read the parent of layer %s: %w", id, err)
		}
		id = next
	}
	return dirs, nil
}

// lowersOf returns the layers of an image, given their trees.
func lowersOf(trees tree.Lowers) []layerfmt.Lower {
	var lowers []layerfmt.Lower
	for _, t := range trees {
		lowers = append(lowers, layerfmt.Lower{Dir: t.Dir, Index: indexOf(t.Dir), Plain: t.Index != "", Side: t.Side})
	}
	return lowers
}

// Stack returns the directories of a container's layer. Such a layer has a work directory.
func (l Layout) Stack(id string) (layerfmt.Stack, error) {
	if _, err := os.Stat(l.work(id)); err != nil {
		return layerfmt.Stack{}, err
	}
	chain, err := l.Chain(id)
	if err != nil {
		return layerfmt.Stack{}, err
	}
	quota, err := l.quota(id)
	return layerfmt.Stack{Driver: Fuse, Upper: chain[0].Dir, Work: l.work(id), Lowers: lowersOf(chain[1:]),
		Quota: quota, Plain: l.Plain}, err
}

// ParentTree returns the tree of the layer below, the zero Tree when there is none.
func (l Layout) ParentTree(parent string) tree.Tree {
	if parent == "" {
		return tree.Tree{}
	}
	return l.Tree(parent)
}

// RootPerm are the permissions of a root directory that no layer mentions. All drivers of the library use them, so that
// an image is the same with each driver.
const RootPerm = 0o555

// makeTree makes an empty tree whose root has the owner and mode of the root of the tree below. work is the work
// directory of a container, "" for an image layer.
func (l Layout) makeTree(dir string, below tree.Tree, work string) error {
	st := layerfmt.Stat{Mode: unix.S_IFDIR | RootPerm}
	if below.Dir != "" {
		var err error
		if st, err = below.Root(); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	switch {
	case !l.Plain:
		return tree.WriteStat(dir, st)
	case work != "":
		return tree.StartRecord(dir, work, st)
	}
	return startIndex(dir, st)
}

// startIndex writes the index of an empty tree. Only this index has the owner and mode of the root directory.
func startIndex(dir string, st layerfmt.Stat) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	m, err := tree.NewMetadata(root, st)
	if err != nil {
		return err
	}
	return WriteIndex(root, indexOf(dir), m)
}

// indexOf returns the index of the tree at dir.
func indexOf(dir string) string { return filepath.Join(filepath.Dir(dir), IndexName) }

// unpack unpacks a tar into the empty tree at dir, and returns the sum of the sizes of its files in bytes.
func (l Layout) unpack(dir string, r io.Reader, opts tree.UnpackOptions) (size int64, err error) {
	err = l.fill(dir, func(root *os.File, m *tree.Metadata) (err error) {
		opts.Metadata = m
		size, err = tree.Unpack(root, r, opts)
		return err
	})
	if err != nil {
		return -1, err
	}
	return size, nil
}

// clone fills the empty tree at dir with the content of another one.
func (l Layout) clone(dir string, from tree.Tree, opts tree.CloneOptions) error {
	return l.fill(dir, func(root *os.File, m *tree.Metadata) error {
		opts.Metadata = m
		return tree.Clone(root, from, opts)
	})
}

// fill has the empty tree at dir written, writes its index beside it, and flushes both to disk.
func (l Layout) fill(dir string, write func(root *os.File, m *tree.Metadata) error) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var m *tree.Metadata
	if l.Plain {
		if m, err = tree.ReadMetadata(root, indexOf(dir)); err != nil {
			return err
		}
	}
	if err := write(root, m); err != nil {
		return err
	}
	if err := WriteIndex(root, indexOf(dir), m); err != nil {
		return err
	}
	if err := unix.Syncfs(int(root.Fd())); err != nil {
		return fmt.Errorf("flush layer to disk: %w", err)
	}
	return nil
}

// WriteIndex writes the index of a tree, in place of an index that other processes may be using. m is the metadata of a
// tree without xattrs, nil for a tree with xattrs.
func WriteIndex(root *os.File, path string, m *tree.Metadata) (err error) {
	if err := removeIndex(path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if m != nil {
		return m.WriteIndex(root, file)
	}
	return tree.WriteIndex(root, file)
}

// removeIndex removes the index of a tree, if it has one.
func removeIndex(path string) error {
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// TreeOf returns the tree of a layer.
func TreeOf(l layerfmt.Lower) tree.Tree {
	t := tree.Tree{Dir: l.Dir, Side: l.Side}
	if l.Plain {
		t.Index = l.Index
	}
	return t
}
