package driver

import "github.com/rcrun/rcrun/internal/layerfmt"

// Mounter mounts unions of layers. This package cannot: it only knows how layers are encoded.
type Mounter interface {
	// Mount mounts a stack at target, an empty directory, and returns once it can be used. A stack without an Upper
	// is read-only.
	Mount(stack layerfmt.Stack, target string) error
	// Unmount undoes that.
	Unmount(target string) error
}
