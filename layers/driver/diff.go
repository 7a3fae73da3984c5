package driver

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/idtools"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/tree"
)

// Diff returns the tar of a layer's own tree or, compared with no layer, of all that the layer shows together with
// those below it. The mappings do not matter, because owners are kept unmapped.
func (d *Driver) Diff(id string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings, _ string) (io.ReadCloser,
	error) {
	chain, err := d.Layout.Chain(id)
	if err != nil {
		return nil, err
	}
	below, err := d.Layout.Parent(id)
	if err != nil {
		return nil, err
	}
	options := tree.PackOptions{Lowers: chain[1:], Flatten: parent == "" && below != "", Writable: d.writable(id)}
	switch {
	case options.Flatten:
	case parent != below:
		return nil, fmt.Errorf("pack what layer %s has over %s, which is not the one below it: %w", id, parent,
			graphdriver.ErrNotSupported)
	default:
		if options.OmitRoot, err = SameRoot(chain[0], d.Layout.ParentTree(parent)); err != nil {
			return nil, err
		}
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(tree.Pack(chain[0], w, options)) }()
	return r, nil
}

// SameRoot tells whether a tree leaves the root directory as the tree below has it. The zero Tree means that there is
// no tree below.
func SameRoot(t, below tree.Tree) (bool, error) {
	if below.Dir == "" {
		return false, nil
	}
	mine, err := t.Root()
	if err != nil {
		return false, err
	}
	theirs, err := below.Root()
	return mine == theirs, err
}

// writable returns what tree needs to know of a container's layer. An image layer has no index of links.
func (d *Driver) writable(id string) tree.Writable {
	return tree.Writable{Links: filepath.Join(d.Layout.work(id), layerfmt.LinkIndex)}
}

// Changes lists what a layer changes in the layers below it, at a cost that depends on the changes only. Compared with
// another layer than the one below, it reads both as a whole.
func (d *Driver) Changes(id string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings,
	_ string) ([]archive.Change, error) {
	chain, err := d.Layout.Chain(id)
	if err != nil {
		return nil, err
	}
	below, err := d.Layout.Parent(id)
	if err != nil {
		return nil, err
	}
	if below == parent {
		return archiveChanges(tree.Changes(context.Background(), chain[0], chain[1:], d.writable(id)))
	}
	other, err := d.Layout.Chain(parent)
	if err != nil {
		return nil, err
	}
	return archiveChanges(tree.Compare(context.Background(), chain, other))
}

// archiveChanges translates changes into the library's form.
func archiveChanges(changes []tree.Change, err error) ([]archive.Change, error) {
	if err != nil {
		return nil, err
	}
	kinds := map[tree.ChangeKind]archive.ChangeType{
		tree.Added: archive.ChangeAdd, tree.Modified: archive.ChangeModify, tree.Deleted: archive.ChangeDelete,
	}
	list := make([]archive.Change, len(changes))
	for i, c := range changes {
		list[i] = archive.Change{Path: c.Path, Kind: kinds[c.Kind]}
	}
	return list, nil
}
