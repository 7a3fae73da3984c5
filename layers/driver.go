package layers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/drivers/vfs"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/directory"
	"go.podman.io/storage/pkg/idtools"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/tree"
)

// driverName is the name of the driver in the store and of its directory there.
const driverName = "fuse"

// The entries of a layer's directory.
const (
	diffDir    = "diff"
	workDir    = "work"
	parentFile = "parent"
)

func init() { graphdriver.MustRegister(driverName, newDriver) }

// layout finds the files of layers below the driver's home directory.
type layout struct{ home string }

func (l layout) layer(id string) string    { return filepath.Join(l.home, "dir", filepath.Base(id)) }
func (l layout) diff(id string) string     { return filepath.Join(l.layer(id), diffDir) }
func (l layout) work(id string) string     { return filepath.Join(l.layer(id), workDir) }
func (l layout) staging() string           { return filepath.Join(l.home, "staging") }
func (l layout) parentOf(id string) string { return filepath.Join(l.layer(id), parentFile) }

// parent returns the id of the layer below, "" when there is none.
func (l layout) parent(id string) (string, error) {
	data, err := os.ReadFile(l.parentOf(id))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}

// maxLayers bounds the length of a chain of parents, so that one that leads back to itself ends.
const maxLayers = 1024

// chain returns the trees of the layer id and of those below it, the nearest first. "" has none.
func (l layout) chain(id string) (tree.Lowers, error) {
	var dirs tree.Lowers
	for id != "" {
		if len(dirs) == maxLayers {
			return nil, fmt.Errorf("layer %s has more than %d layers below it", id, maxLayers)
		}
		dirs = append(dirs, l.diff(id))
		next, err := l.parent(id)
		if err != nil {
			return nil, fmt.Errorf("read the parent of layer %s: %w", id, err)
		}
		id = next
	}
	return dirs, nil
}

// driver is the graph driver. The embedded driver of the library does what is about whole directories of layers
// (removing, listing), and supplies the methods whose types are the library's own.
type driver struct {
	graphdriver.Driver
	graphdriver.ApplyDiffStaging
	layout layout
}

func newDriver(home string, options graphdriver.Options) (graphdriver.Driver, error) {
	base, err := vfs.Init(home, options)
	if err != nil {
		return nil, err
	}
	l := layout{home: home}
	if err := sweepScratch(l.staging()); err != nil {
		return nil, err
	}
	return &driver{Driver: base, ApplyDiffStaging: newStager(l), layout: l}, nil
}

// String returns the name of the driver.
func (d *driver) String() string { return driverName }

// Status returns what "info" shows about the driver.
func (d *driver) Status() [][2]string {
	return [][2]string{{"Layer encoding", "plain files, " + layerfmt.StatXattr}}
}

// Metadata returns where the tree of a layer is.
func (d *driver) Metadata(id string) (map[string]string, error) {
	return map[string]string{"UpperDir": d.layout.diff(id)}, nil
}

// Create makes the directories of an image layer.
func (d *driver) Create(id, parent string, opts *graphdriver.CreateOpts) error {
	return d.create(id, parent, opts, false)
}

// CreateReadWrite makes the directories of a container's layer.
func (d *driver) CreateReadWrite(id, parent string, opts *graphdriver.CreateOpts) error {
	return d.create(id, parent, opts, true)
}

// CreateFromTemplate makes a layer with the content of another one, which the library asks for to have it with other
// owners. Owners are the same for all id maps here.
func (d *driver) CreateFromTemplate(_, template string, _ *idtools.IDMappings, _ string, _ *idtools.IDMappings, _ *graphdriver.CreateOpts, _ bool) error {
	return fmt.Errorf("copy layer %s: %w", template, graphdriver.ErrNotSupported)
}

func (d *driver) create(id, parent string, opts *graphdriver.CreateOpts, writable bool) (err error) {
	if opts != nil && len(opts.StorageOpt) > 0 {
		return fmt.Errorf("create layer %s: storage options are not known: %w", id, graphdriver.ErrNotSupported)
	}
	dir := d.layout.layer(id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("create layer: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := makeTree(d.layout.diff(id), d.layout.parentTree(parent)); err != nil {
		return fmt.Errorf("create layer: %w", err)
	}
	if writable {
		if err := os.Mkdir(d.layout.work(id), 0o700); err != nil {
			return fmt.Errorf("create layer: %w", err)
		}
	}
	if parent == "" {
		return nil
	}
	return os.WriteFile(d.layout.parentOf(id), []byte(parent), 0o600)
}

// parentTree returns the tree of the layer below, "" when there is none.
func (l layout) parentTree(parent string) string {
	if parent == "" {
		return ""
	}
	return l.diff(parent)
}

// makeTree makes an empty tree whose root has the owner and mode of the root of the tree below.
func makeTree(dir, below string) error {
	st := layerfmt.Stat{Mode: unix.S_IFDIR | 0o755}
	if below != "" {
		var err error
		if st, err = tree.ReadStat(below); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return tree.WriteStat(dir, st)
}

// Get returns the tree of a layer. It is not a union with those below: whoever wants one mounts it.
func (d *driver) Get(id string, _ graphdriver.MountOpts) (string, error) {
	dir := d.layout.diff(id)
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	return dir, nil
}

// Put has nothing to release.
func (d *driver) Put(string) error { return nil }

// ApplyDiff unpacks a tar into the tree of a layer.
func (d *driver) ApplyDiff(id string, options graphdriver.ApplyDiffOpts) (int64, error) {
	parent, err := d.layout.parent(id)
	if err != nil {
		return -1, err
	}
	lowers, err := d.layout.chain(parent)
	if err != nil {
		return -1, err
	}
	return unpack(d.layout.diff(id), options.Diff, lowers)
}

// unpack unpacks a tar into the tree at dir and flushes it to disk.
func unpack(dir string, r io.Reader, lowers tree.Lowers) (int64, error) {
	root, err := os.Open(dir)
	if err != nil {
		return -1, err
	}
	defer root.Close()
	size, err := tree.Unpack(root, r, lowers)
	if err != nil {
		return -1, err
	}
	if err := unix.Syncfs(int(root.Fd())); err != nil {
		return -1, fmt.Errorf("flush layer to disk: %w", err)
	}
	return size, nil
}

// Diff returns the tar of a layer's own tree. The mappings do not matter, since owners are kept unmapped.
func (d *driver) Diff(id string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings, _ string) (io.ReadCloser, error) {
	if err := d.checkParent(id, parent); err != nil {
		return nil, err
	}
	same, err := d.sameRoot(id, parent)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(tree.Pack(d.layout.diff(id), w, tree.PackOptions{OmitRoot: same})) }()
	return r, nil
}

// checkParent refuses to compare a layer with anything but the one below it: a layer is its own difference from that.
func (d *driver) checkParent(id, parent string) error {
	real, err := d.layout.parent(id)
	if err != nil {
		return err
	}
	if real != parent {
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

// DiffSize returns the size in bytes of what a layer adds to the ones below it.
func (d *driver) DiffSize(id string, _ *idtools.IDMappings, _ string, _ *idtools.IDMappings, _ string) (int64, error) {
	return tree.Size(d.layout.diff(id))
}

// ReadWriteDiskUsage returns what the tree of a layer takes on disk.
func (d *driver) ReadWriteDiskUsage(id string) (*directory.DiskUsage, error) {
	return directory.Usage(d.layout.diff(id))
}

// UpdateLayerIDMap has nothing to do: no file shows a mapped id.
func (d *driver) UpdateLayerIDMap(string, *idtools.IDMappings, *idtools.IDMappings, string) error {
	return nil
}

// SupportsShifting says that one layer serves all id maps.
func (d *driver) SupportsShifting(_, _ []idtools.IDMap) bool { return true }

// DiffGetter returns the files of a layer by the names that they have in its tar.
func (d *driver) DiffGetter(id string) (graphdriver.FileGetCloser, error) {
	return tree.OpenFiles(d.layout.diff(id))
}
