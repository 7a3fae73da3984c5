package engine

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/rcrun/rcrun/internal/xattrlog"
	"github.com/rcrun/rcrun/layers"
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

// stackOf returns the directories that make up the container's root filesystem.
func (e *Engine) stackOf(c *Container) (unionmount.Options, error) {
	stack, err := e.layersOf(c)
	if err != nil {
		return unionmount.Options{}, err
	}
	options := c.unionOf(stack)
	if c.HostConfig.Rootfs != "" {
		layer, err := hostLayer(c.HostConfig.Rootfs, c.HostConfig.UsernsMode)
		if err != nil {
			return options, err
		}
		options.Lowers = append(options.Lowers, layer)
	}
	return options, nil
}

// layersOf returns what the store has for a container.
func (e *Engine) layersOf(c *Container) (layers.Stack, error) {
	store, err := e.Store()
	if err != nil {
		return layers.Stack{}, err
	}
	return store.ContainerStack(c.ID)
}

// unionOf adds the init layer to the store's layers, but not to a tree that is the whole root.
func (c *Container) unionOf(stack layers.Stack) unionmount.Options {
	options := unionOf(stack)
	if stack.Driver == layers.DriverVFS {
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

// hostLayer is a directory of the host as a layer. Its owners are the host's, so they are translated by the id map
// that the container gets; those that it cannot show appear as root.
func hostLayer(dir, userns string) (unionmount.Layer, error) {
	ids, _, err := rootless.PlanMap(userns, rootless.CurrentCaller()) // the monitor prints the warnings
	if err != nil {
		return unionmount.Layer{}, err
	}
	return unionmount.Layer{Dir: dir, Ownership: unionmount.HostOwned, UIDs: unionMappings(ids.UIDs), GIDs: unionMappings(ids.GIDs)}, nil
}

func unionMappings(maps []rootless.Mapping) []unionmount.IDMapping {
	var out []unionmount.IDMapping
	for _, m := range maps {
		out = append(out, unionmount.IDMapping(m))
	}
	return out
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
	layer := unionmount.Options{Upper: c.path(initDir), UpperAs: stack.UpperAs, Work: c.path(initWorkDir), SideXattrs: stack.SideXattrs}
	if len(stack.Lowers) > 0 {
		layer.Lowers = stack.Lowers[1:]
		return writeInitEntries(layer, false)
	}
	// A tree that is the whole root gets what it lacks. The layer is then for a comparison with the image to leave out.
	return errors.Join(writeInitEntries(stack, true), writeInitEntries(layer, true))
}

func writeInitEntries(options unionmount.Options, sparing bool) error {
	return withUnion(options, func(t tree) error {
		t.sparing = sparing
		for _, entry := range initEntries {
			if err := t.makeEntry(entry); err != nil {
				return fmt.Errorf("create init layer: %s: %w", entry.path, err)
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
