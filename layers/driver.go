package layers

import (
	"errors"
	"fmt"
	"os"

	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/drivers/vfs"
	"go.podman.io/storage/pkg/directory"
	"go.podman.io/storage/pkg/idtools"

	"github.com/rcrun/rcrun/internal/atomicfile"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/layers/tree"
)

// What the library asks a driver for.
var (
	_ graphdriver.Driver           = (*driver)(nil)
	_ graphdriver.DiffGetterDriver = (*driver)(nil)
	_ graphdriver.ApplyDiffStaging = (*driver)(nil)
)

func init() { graphdriver.MustRegister(DriverFuse, newDriver) }

// driver is the graph driver. The embedded driver of the library lists the directories of layers, and supplies the methods
// whose types are the library's own.
type driver struct {
	graphdriver.Driver
	graphdriver.ApplyDiffStaging
	layout layout
	limits *tree.Limits // of what is unpacked
	unions *unions      // nil where nobody can mount
	copies copies       // that CreateFromTemplate is to use
}

func newDriver(home string, options graphdriver.Options) (graphdriver.Driver, error) {
	base, err := vfs.Init(home, options)
	if err != nil {
		return nil, err
	}
	l, err := findForm(home)
	if err != nil {
		return nil, err
	}
	_ = sweepScratch(l.staging()) // what remains of it, a check of the store finds
	limits := &tree.Limits{}
	return &driver{Driver: inferRemoval(graphdriver.Driver.DeferredRemove, base, l), ApplyDiffStaging: newStager(l, limits), layout: l, limits: limits,
		copies: copies{ready: map[string]*scratch{}}}, nil
}

// String returns the name of the driver.
func (d *driver) String() string { return DriverFuse }

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

// mountWith has Get mount unions.
func (d *driver) mountWith(m Mounter) { d.unions = newUnions(d.layout, m) }

// CreateFromTemplate makes a layer with the content of another one: of a copy that was made beforehand, or on the same
// parent. The mappings do not matter, since owners are kept unmapped.
func (d *driver) CreateFromTemplate(id, template string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings, opts *graphdriver.CreateOpts, readWrite bool) (err error) {
	if place := d.copies.take(id); place != nil {
		if err := d.create(id, parent, opts, readWrite); err != nil {
			return errors.Join(err, place.Close())
		}
		return d.commitCopy(id, place)
	}
	content, err := d.Diff(template, nil, parent, nil, "")
	if err != nil {
		return fmt.Errorf("copy layer %s: %w", template, err)
	}
	defer content.Close()
	if err := d.create(id, parent, opts, readWrite); err != nil {
		return err
	}
	if _, err := d.ApplyDiff(id, graphdriver.ApplyDiffOpts{Diff: content}); err != nil {
		return errors.Join(fmt.Errorf("copy layer %s: %w", template, err), rmtree.Remove(d.layout.layer(id)))
	}
	return nil
}

func (d *driver) create(id, parent string, opts *graphdriver.CreateOpts, writable bool) (err error) {
	quota, err := quotaOf(opts)
	if err != nil {
		return fmt.Errorf("create layer %s: %w: %w", id, err, graphdriver.ErrNotSupported)
	}
	if err := checkID(id); err != nil {
		return fmt.Errorf("create layer: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("create layer: %w", errors.Join(err, rmtree.Remove(d.layout.layer(id))))
		}
	}()
	if err := d.makeLayerDir(id); err != nil {
		return err
	}
	work := ""
	if writable {
		work = d.layout.work(id)
		if err := os.Mkdir(work, 0o700); err != nil {
			return err
		}
	}
	if err := d.layout.makeTree(d.layout.diff(id), d.layout.parentTree(parent), work); err != nil {
		return err
	}
	if err := d.layout.writeQuota(id, quota); err != nil {
		return err
	}
	if parent == "" {
		return nil
	}
	return atomicfile.Write(d.layout.parentFile(id), []byte(parent), 0o600)
}

// quotaOf returns the limit that a layer is made with.
func quotaOf(opts *graphdriver.CreateOpts) (layerfmt.Quota, error) {
	if opts == nil {
		return layerfmt.Quota{}, nil
	}
	return layerfmt.ParseQuota(opts.StorageOpt)
}

// makeLayerDir makes the directory of a layer. The library asks for that only while it has no record of the layer: what
// is there nevertheless is what a crash has left, and would be in the way of its image for ever.
func (d *driver) makeLayerDir(id string) error {
	dir := d.layout.layer(id)
	if err := rmtree.Remove(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o700)
}

// Get returns where a layer is to be seen with those below it: a mount, which every further Get shares, until as many
// calls of Put. Where nobody can mount, it is the layer's own tree.
func (d *driver) Get(id string, options graphdriver.MountOpts) (string, error) {
	dir := d.layout.diff(id)
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	if d.unions == nil {
		return dir, nil
	}
	return d.unions.get(id, options)
}

// Put releases what Get returned.
func (d *driver) Put(id string) error {
	if d.unions == nil {
		return nil
	}
	return d.unions.put(id)
}

// Cleanup takes down all mounts that Get made.
func (d *driver) Cleanup() error {
	if d.unions == nil {
		return nil
	}
	return d.unions.putAll()
}

// ApplyDiff unpacks a tar into the tree of a layer. Without xattrs that must be an image's, which nothing was unpacked into
// before.
func (d *driver) ApplyDiff(id string, options graphdriver.ApplyDiffOpts) (int64, error) {
	if d.layout.tree(id).Side != "" {
		return -1, fmt.Errorf("unpack into layer %s, which is a container's, in a store without xattrs: %w", id, graphdriver.ErrNotSupported)
	}
	parent, err := d.layout.parent(id)
	if err != nil {
		return -1, err
	}
	lowers, err := d.layout.chain(parent)
	if err != nil {
		return -1, err
	}
	return d.layout.unpack(d.layout.diff(id), options.Diff, tree.UnpackOptions{Lowers: lowers, Limits: *d.limits})
}

// DiffSize returns the size in bytes of what a layer adds to the ones below it.
func (d *driver) DiffSize(id string, _ *idtools.IDMappings, _ string, _ *idtools.IDMappings, _ string) (int64, error) {
	return tree.Size(d.layout.tree(id))
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
	return tree.OpenFiles(d.layout.tree(id))
}
