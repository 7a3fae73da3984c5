package driver

import (
	"context"
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
	"github.com/rcrun/rcrun/layers/internal/scratch"
	"github.com/rcrun/rcrun/layers/tree"
)

// The interfaces that the library asks a driver for.
var (
	_ graphdriver.Driver           = (*Driver)(nil)
	_ graphdriver.DiffGetterDriver = (*Driver)(nil)
	_ graphdriver.ApplyDiffStaging = (*Driver)(nil)
)

func init() { graphdriver.MustRegister(Fuse, newDriver) }

// Driver is the graph driver. The embedded driver of the library lists the directories of layers, and has the methods
// whose types only the library can name.
type Driver struct {
	graphdriver.Driver
	graphdriver.ApplyDiffStaging
	Layout Layout
	Limits *tree.Limits // of what is unpacked
	unions *unions      // nil where nothing can mount
	Copies copies       // that CreateFromTemplate is to use
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
	_ = scratch.Sweep(l.Staging()) // a check of the store finds what remains
	limits := &tree.Limits{}
	return &Driver{Driver: inferRemoval(graphdriver.Driver.DeferredRemove, base, l),
		ApplyDiffStaging: newStager(l, limits), Layout: l, Limits: limits,
		Copies: copies{ready: map[string]*scratch.Dir{}}}, nil
}

// String returns the name of the driver.
func (d *Driver) String() string { return Fuse }

// Metadata returns where the tree of a layer is.
func (d *Driver) Metadata(id string) (map[string]string, error) {
	return map[string]string{"UpperDir": d.Layout.Diff(id)}, nil
}

// Create makes the directories of an image layer.
func (d *Driver) Create(id, parent string, opts *graphdriver.CreateOpts) error {
	return d.create(id, parent, opts, false)
}

// CreateReadWrite makes the directories of a container's layer.
func (d *Driver) CreateReadWrite(id, parent string, opts *graphdriver.CreateOpts) error {
	return d.create(id, parent, opts, true)
}

// MountWith has Get mount unions by m.
func (d *Driver) MountWith(m Mounter) { d.unions = newUnions(d.Layout, m) }

// CreateFromTemplate makes a layer with the content of another one: from a copy that was made beforehand, or on the
// same parent. The mappings do not matter, because owners are kept unmapped.
func (d *Driver) CreateFromTemplate(id, template string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings,
	opts *graphdriver.CreateOpts, readWrite bool) (err error) {
	if place := d.Copies.Take(id); place != nil {
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
		return errors.Join(fmt.Errorf("copy layer %s: %w", template, err), rmtree.Remove(d.Layout.Layer(id)))
	}
	return nil
}

func (d *Driver) create(id, parent string, opts *graphdriver.CreateOpts, writable bool) (err error) {
	quota, err := quotaOf(opts)
	if err != nil {
		return fmt.Errorf("create layer %s: %w: %w", id, err, graphdriver.ErrNotSupported)
	}
	if err := CheckID(id); err != nil {
		return fmt.Errorf("create layer: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("create layer: %w", errors.Join(err, rmtree.Remove(d.Layout.Layer(id))))
		}
	}()
	if err := d.makeLayerDir(id); err != nil {
		return err
	}
	work := ""
	if writable {
		work = d.Layout.work(id)
		if err := os.Mkdir(work, 0o700); err != nil {
			return err
		}
	}
	if err := d.Layout.makeTree(d.Layout.Diff(id), d.Layout.ParentTree(parent), work); err != nil {
		return err
	}
	if err := d.Layout.writeQuota(id, quota); err != nil {
		return err
	}
	if parent == "" {
		return nil
	}
	return atomicfile.Write(d.Layout.parentFile(id), []byte(parent), 0o600)
}

// quotaOf returns the limit that a layer is made with.
func quotaOf(opts *graphdriver.CreateOpts) (layerfmt.Quota, error) {
	if opts == nil {
		return layerfmt.Quota{}, nil
	}
	return layerfmt.ParseQuota(opts.StorageOpt)
}

// makeLayerDir makes the directory of a layer. The library asks for that only while it has no record of the layer. So a
// directory that is there was left by a crash, and would prevent the making of its image for ever.
func (d *Driver) makeLayerDir(id string) error {
	dir := d.Layout.Layer(id)
	if err := rmtree.Remove(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o700)
}

// Get returns where a layer can be seen together with those below it: a mount, which all further calls of Get share,
// until Put was called as often. If nothing can mount, it is the layer's own tree.
func (d *Driver) Get(id string, options graphdriver.MountOpts) (string, error) {
	dir := d.Layout.Diff(id)
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	if d.unions == nil {
		return dir, nil
	}
	return d.unions.get(id, options)
}

// Put releases what Get returned.
func (d *Driver) Put(id string) error {
	if d.unions == nil {
		return nil
	}
	return d.unions.put(id)
}

// Cleanup takes down all mounts that Get made.
func (d *Driver) Cleanup() error {
	if d.unions == nil {
		return nil
	}
	return d.unions.putAll()
}

// ApplyDiff unpacks a tar into the tree of a layer. In a store without xattrs the layer must be an image's, and nothing
// may have been unpacked into it before.
func (d *Driver) ApplyDiff(id string, options graphdriver.ApplyDiffOpts) (int64, error) {
	if d.Layout.Tree(id).Side != "" {
		return -1, fmt.Errorf("unpack into layer %s, which is a container's, in a store without xattrs: %w", id,
			graphdriver.ErrNotSupported)
	}
	parent, err := d.Layout.Parent(id)
	if err != nil {
		return -1, err
	}
	lowers, err := d.Layout.Chain(parent)
	if err != nil {
		return -1, err
	}
	return d.Layout.unpack(d.Layout.Diff(id), options.Diff, tree.UnpackOptions{Lowers: lowers, Limits: *d.Limits})
}

// DiffSize returns the size in bytes of what a layer adds to the ones below it.
func (d *Driver) DiffSize(id string, _ *idtools.IDMappings, _ string, _ *idtools.IDMappings, _ string) (int64, error) {
	return tree.Size(context.Background(), d.Layout.Tree(id))
}

// ReadWriteDiskUsage returns what the tree of a layer takes on disk.
func (d *Driver) ReadWriteDiskUsage(id string) (*directory.DiskUsage, error) {
	return directory.Usage(d.Layout.Diff(id))
}

// UpdateLayerIDMap has nothing to do, because no file has a mapped id.
func (d *Driver) UpdateLayerIDMap(string, *idtools.IDMappings, *idtools.IDMappings, string) error {
	return nil
}

// SupportsShifting says that one layer serves all id maps.
func (d *Driver) SupportsShifting(_, _ []idtools.IDMap) bool { return true }

// DiffGetter returns the files of a layer by their names in the layer's tar.
func (d *Driver) DiffGetter(id string) (graphdriver.FileGetCloser, error) {
	return tree.OpenFiles(d.Layout.Tree(id))
}
