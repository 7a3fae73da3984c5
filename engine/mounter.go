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
	return UnionMount{Stack: unionOf(stack), Target: target, Mount: fusefs.MountOptions{Source: "rcrun", Subtype: "rcrun"}}.Start()
}

// Unmount undoes Mount.
func (LayerMounter) Unmount(target string) error { return fusefs.Unmount(target) }

// unionOf returns the union of a stack of the store's layers.
func unionOf(stack layers.Stack) unionmount.Options {
	options := unionmount.Options{Upper: stack.Upper, Work: stack.Work}
	for _, lower := range stack.Lowers {
		layer := callerOwned(lower.Dir)
		layer.Index = lower.Index
		options.Lowers = append(options.Lowers, layer)
	}
	return options
}
