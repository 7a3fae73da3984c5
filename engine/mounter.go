package engine

import (
	"github.com/rcrun/rcrun/fusefs"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/unionmount"
)

// LayerMounter mounts unions of a store's layers outside of containers. It implements layers.Mounter.
type LayerMounter struct{}

// Mount mounts a stack at target for the calling user alone, who may do everything with it: all files are that user's,
// whoever the container sees as their owner.
func (LayerMounter) Mount(stack layers.Stack, target string) error {
	return UnionMount{Stack: unionOf(stack), Target: target, Mount: fusefs.MountOptions{Source: "rcrun", Subtype: "rcrun"},
		NoACL: true, // with ACLs, the kernel checks all permissions
	}.Start()
}

// Unmount undoes Mount.
func (LayerMounter) Unmount(target string) error { return fusefs.Unmount(target) }

// unionOf returns the union of a stack of the store's layers.
func unionOf(stack layers.Stack) unionmount.Options {
	options := unionmount.Options{Upper: stack.Upper, Work: stack.Work, SideXattrs: stack.Plain}
	if stack.Driver != layers.DriverFuse {
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
	if driver == layers.DriverFuse {
		return unionmount.Layer{Dir: dir, Ownership: unionmount.CallerOwned}
	}
	return unionmount.Layer{Dir: dir, Ownership: unionmount.HostOwned, UIDs: everyID(), GIDs: everyID()}
}

// everyID maps every id to itself.
func everyID() []unionmount.IDMapping { return []unionmount.IDMapping{{Size: allIDs}} }
