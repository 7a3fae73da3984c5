package layered

import (
	"context"
	"os"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/fusefs/mount"
	"github.com/rcrun/rcrun/fusefs/mounted"
	"github.com/rcrun/rcrun/layers"
)

// LayerMounter mounts unions of a store's layers outside of containers. It implements driver.Mounter.
type LayerMounter struct {
	Program func() *os.File // as in engine.Engine
}

// Mount mounts a stack at target for the calling user alone, who may do everything with it: all files are that user's,
// also those that the container sees as another user's.
func (m LayerMounter) Mount(stack layers.Stack, target string) error {
	return mounted.Filesystem{Union: engine.UnionOf(stack), Target: target,
		Mount: mount.Options{Source: "rcrun", Subtype: "rcrun"},
		NoACL: true, // with ACLs, the kernel checks all permissions
	}.Start(context.Background(), m.Program)
}

// Unmount undoes Mount.
func (LayerMounter) Unmount(target string) error { return mount.Unmount(target) }
