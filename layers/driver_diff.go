package layers

import (
	"fmt"
	"io"

	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/idtools"

	"github.com/rcrun/rcrun/layers/tree"
)

// Diff returns the tar of a layer's own tree. The mappings do not matter, since owners are kept unmapped.
func (d *driver) Diff(id string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings, _ string) (io.ReadCloser, error) {
	if err := d.checkParent(id, parent); err != nil {
		return nil, err
	}
	same, err := d.sameRoot(id, parent)
	if err != nil {
		return nil, err
	}
	lowers, err := d.layout.chain(parent)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(tree.Pack(d.layout.diff(id), w, tree.PackOptions{OmitRoot: same, Lowers: lowers}))
	}()
	return r, nil
}

// checkParent refuses to compare a layer with anything but the one below it: a layer is its own difference from that.
func (d *driver) checkParent(id, parent string) error {
	below, err := d.layout.parent(id)
	if err != nil {
		return err
	}
	if below != parent {
		return fmt.Errorf("compare layer %s with %q, which is not the one below it: %w", id, parent, graphdriver.ErrNotSupported)
	}
	return nil
}

// sameRoot tells whether a layer leaves the root directory as the layer below has it.
func (d *driver) sameRoot(id, parent string) (bool, error) {
	if parent == "" {
		return false, nil
	}
	mine, err := tree.ReadStat(d.layout.diff(id))
	if err != nil {
		return false, err
	}
	below, err := tree.ReadStat(d.layout.diff(parent))
	return mine == below, err
}

// Changes lists what a layer changes in the ones below it.
func (d *driver) Changes(id string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings, _ string) ([]archive.Change, error) {
	if err := d.checkParent(id, parent); err != nil {
		return nil, err
	}
	lowers, err := d.layout.chain(parent)
	if err != nil {
		return nil, err
	}
	changes, err := tree.Changes(d.layout.diff(id), lowers)
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
