package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/xattrlog"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// The init layer lies between the image and the read-write layer. It is never committed and invisible to diff.
const (
	initDir     = "init/diff"
	initWorkDir = "init/work"
	rootWorkDir = "init/rootwork" // of a tree that is the whole root
)

// rootPlan says what the root filesystem of a container is. One of them is set.
type rootPlan struct {
	Bind    *bindRoot
	Overlay *overlayRoot
	Union   *unionmount.Options
}

// planRoot finds out what a container's root filesystem is made of.
func (e *Engine) planRoot(ctx context.Context, c *Container) (rootPlan, error) {
	if dir := c.HostConfig.Rootfs; dir != "" && !c.HostConfig.RootfsOverlay {
		return rootPlan{Bind: &bindRoot{Dir: dir}}, nil
	}
	stack, err := e.layersOf(ctx, c)
	if err != nil {
		return rootPlan{}, err
	}
	switch stack.Driver {
	case layerfmt.DriverVFS:
		return rootPlan{Bind: &bindRoot{Dir: stack.Upper}}, nil
	case layerfmt.DriverOverlay:
		root, err := newOverlayRoot(stack, c.path(initDir))
		return rootPlan{Overlay: &root}, err
	}
	union, err := c.unionOver(stack)
	return rootPlan{Union: &union}, err
}

// InitLayer is the directory of the container's init layer.
func (c *Container) InitLayer() string { return c.path(initDir) }

// stackOf returns the directories that make up the container's root filesystem.
func (e *Engine) stackOf(ctx context.Context, c *Container) (unionmount.Options, error) {
	stack, err := e.layersOf(ctx, c)
	if err != nil {
		return unionmount.Options{}, err
	}
	return c.unionOver(stack)
}

// unionOver is the union of what the store has for the container, and of what else belongs to its root.
func (c *Container) unionOver(stack layerfmt.Stack) (unionmount.Options, error) {
	options := c.union(stack)
	if c.HostConfig.Rootfs != "" {
		layer, err := hostLayer(c.HostConfig.Rootfs, string(c.HostConfig.UsernsMode))
		if err != nil {
			return options, err
		}
		options.Lowers = append(options.Lowers, layer)
	}
	return options, nil
}

// layersOf returns what the store has for a container.
func (e *Engine) layersOf(ctx context.Context, c *Container) (layerfmt.Stack, error) {
	store, err := e.OpenStore(ctx)
	if err != nil {
		return layerfmt.Stack{}, err
	}
	return store.ContainerStack(ctx, c.ID)
}

// union adds the init layer to the store's layers, but not to a tree that is the whole root.
func (c *Container) union(stack layerfmt.Stack) unionmount.Options {
	options := UnionOf(stack)
	if stack.Driver == layerfmt.DriverVFS {
		options.Work = c.path(rootWorkDir)
		return options
	}
	initLayer := storeLayer(stack.Driver, c.path(initDir))
	if stack.Plain {
		initLayer.Side = path.Join(c.path(initWorkDir), xattrlog.Name)
	}
	options.Lowers = slices.Insert(options.Lowers, 0, initLayer)
	return options
}

// UnionOf returns the union of a stack of the store's layerfmt.
func UnionOf(stack layerfmt.Stack) unionmount.Options {
	options := unionmount.Options{Upper: stack.Upper, Work: stack.Work, Quota: unionmount.Quota(stack.Quota),
		SideXattrs: stack.Plain}
	if stack.Driver != layerfmt.DriverFuse {
		upper := storeLayer(stack.Driver, stack.Upper)
		options.UpperAs = &upper
	}
	for _, lower := range stack.Lowers {
		layer := storeLayer(stack.Driver, lower.Dir)
		layer.Index, layer.Plain, layer.Side = lower.Index, lower.Plain, lower.Side
		options.Lowers = append(options.Lowers, layer)
	}
	return options
}

// storeLayer is a directory of the store as a layer. Owners are metadata only with the driver of our own.
func storeLayer(driver, dir string) unionmount.Layer {
	if driver == layerfmt.DriverFuse {
		return unionmount.Layer{Dir: dir, Ownership: unionmount.CallerOwned}
	}
	return unionmount.Layer{Dir: dir, Ownership: unionmount.HostOwned, UIDs: idmap.Everything(),
		GIDs: idmap.Everything()}
}

// hostLayer is a directory of the host as a layer. Its owners are the host's, so they are translated by the id map
// that the container gets; those that it cannot show appear as root.
func hostLayer(dir, userns string) (unionmount.Layer, error) {
	ids, _, err := rootless.PlanMap(userns, rootless.CurrentCaller()) // the monitor prints the warnings
	if err != nil {
		return unionmount.Layer{}, err
	}
	return unionmount.Layer{Dir: dir, Ownership: unionmount.HostOwned, UIDs: ids.UIDs, GIDs: ids.GIDs}, nil
}

// initEntry is something that the init layer has for the mounts of every container to land on.
type initEntry struct {
	path string
	kind uint32 // of a node
}

// initEntries is Docker's list.
var initEntries = []initEntry{
	{"/dev/pts", unix.S_IFDIR},
	{"/dev/shm", unix.S_IFDIR},
	{"/proc", unix.S_IFDIR},
	{"/sys", unix.S_IFDIR},
	{"/.dockerenv", unix.S_IFREG},
	{"/etc/resolv.conf", unix.S_IFREG},
	{"/etc/hosts", unix.S_IFREG},
	{"/etc/hostname", unix.S_IFREG},
	{"/dev/console", unix.S_IFREG},
	{"/etc/mtab", unix.S_IFLNK},
}

const mtabTarget = "/proc/mounts"

// writeInitLayer writes the init layer through a union of its own, with the image below: so what is in the way is
// hidden, what is missing is made, and nothing is written through a link of the image's. No mount is needed for it.
func (c *Container) writeInitLayer(stack unionmount.Options) error {
	for _, dir := range []string{initDir, initWorkDir, rootWorkDir} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil {
			return fmt.Errorf("create init layer: %w", err)
		}
	}
	layer := unionmount.Options{Upper: c.path(initDir), UpperAs: stack.UpperAs, Work: c.path(initWorkDir),
		SideXattrs: stack.SideXattrs}
	if len(stack.Lowers) > 0 {
		layer.Lowers = stack.Lowers[1:]
		return c.writeInitEntries(layer, false)
	}
	// A tree that is the whole root gets what it lacks. The layer is then for a comparison with the image to leave out.
	return errors.Join(c.writeInitEntries(stack, true), c.writeInitEntries(layer, true))
}

func (c *Container) writeInitEntries(options unionmount.Options, sparing bool) error {
	return withUnion(options, func(t tree) error {
		t.sparing = sparing
		for _, entry := range initEntries {
			if err := t.makeEntry(entry); err != nil {
				return fmt.Errorf("create init layer: %s: %w", entry.path, err)
			}
		}
		for _, volume := range c.imageVolumes() {
			if err := t.makeVolume(volume); err != nil {
				return fmt.Errorf("create init layer: %s: %w", volume, err)
			}
		}
		for _, user := range c.addedUsers() {
			if err := t.addUser(user); err != nil {
				return fmt.Errorf("create init layer: name user %d: %w", user.Uid, err)
			}
		}
		return nil
	})
}

// tree changes a union by path, in this process.
type tree struct {
	union   *unionmount.Union
	sparing bool // what is there already is replaced only if it is of another kind
}

func withUnion(options unionmount.Options, work func(tree) error) error {
	union, err := unionmount.Open(options)
	if err != nil {
		return err
	}
	return errors.Join(work(tree{union: union}), union.Close())
}

// makeEntry makes an entry of the init layer, all of whose parents become real directories. A directory that is there
// already is left alone.
func (t tree) makeEntry(entry initEntry) error {
	dir := t.union.Root()
	parent, name := path.Split(entry.path)
	for _, part := range split(parent) {
		next, err := t.makeNode(dir, part, unix.S_IFDIR)
		if err != nil {
			return err
		}
		dir = next
	}
	_, err := t.makeNode(dir, name, entry.kind)
	return err
}

// makeNode replaces whatever is at name by a new entry of root's, unless it is a directory, which is left alone as
// Docker leaves it.
func (t tree) makeNode(dir *unionmount.Node, name string, kind uint32) (*unionmount.Node, error) {
	node, _, err := t.union.Lookup(dir, name)
	switch {
	case err == nil && (node.Kind() == unix.S_IFDIR || t.sparing && node.Kind() == kind):
		return node, nil
	case err == nil:
		if err := t.union.Unlink(dir, name); err != nil {
			return nil, err
		}
	case !errors.Is(err, unix.ENOENT):
		return nil, err
	}
	return t.create(dir, name, kind)
}

func (t tree) create(dir *unionmount.Node, name string, kind uint32) (node *unionmount.Node, err error) {
	const perm = 0o755
	owner := unionmount.Owner{}
	switch kind {
	case unix.S_IFDIR:
		node, _, err = t.union.Mkdir(dir, name, perm, owner)
	case unix.S_IFLNK:
		node, _, err = t.union.Symlink(dir, name, mtabTarget, owner)
	default:
		node, _, err = t.union.Mknod(dir, name, kind|perm, 0, owner)
	}
	return node, err
}

// split returns the names of a path.
func split(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
}
