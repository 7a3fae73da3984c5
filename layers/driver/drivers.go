package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// The drivers that a store can have.
const (
	// Fuse is the driver of this package: all files belong to the caller, and a union filesystem in user space shows
	// their owners.
	Fuse = layerfmt.DriverFuse
	// Overlay is the library's driver for the kernel's overlay filesystem. Its files have their owners on disk.
	Overlay = layerfmt.DriverOverlay
	// VFS is the library's driver that copies a whole tree for each layer. Its files have their owners on disk.
	VFS = layerfmt.DriverVFS
)

// Names returns the names of all drivers, the best first.
func Names() []string { return []string{Fuse, Overlay, VFS} }

// Check refuses a name that no driver has; "" is allowed.
func Check(wanted string) error {
	if wanted == "" || slices.Contains(Names(), wanted) {
		return nil
	}
	return fault.Errorf(errdefs.ErrInvalidArgument, "there is no storage driver %q: use one of %s", wanted,
		strings.Join(Names(), ", "))
}

// Find returns the driver of the store at root. For a store that is not there yet it returns wanted, or Fuse if that is
// "". It is an error if a store is there and has another driver than wanted.
func Find(root, wanted string) (string, error) {
	if err := Check(wanted); err != nil {
		return "", err
	}
	for _, name := range Names() {
		switch _, err := os.Stat(filepath.Join(root, name+"-layers")); { // where the library keeps the driver's records
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return "", fmt.Errorf("look for the storage driver: %w", err)
		case wanted != "" && wanted != name:
			return "", fault.Errorf(errdefs.ErrFailedPrecondition,
				"the store %s has the storage driver %s, not %s: a store keeps the driver that it was made with; "+
					"use another data directory", root, name, wanted)
		default:
			return name, nil
		}
	}
	if wanted == "" {
		return Fuse, nil
	}
	return wanted, nil
}

// CheckMounts refuses an open store at root if its overlay driver has found that the kernel does not let it mount. The
// driver would then call another program; without that program this engine mounts the roots of containers itself.
func CheckMounts(root, driver string) error {
	if driver != Overlay {
		return nil
	}
	needsProgram, err := os.ReadFile(filepath.Join(root, Overlay, ".has-mount-program"))
	if err != nil || strings.TrimSpace(string(needsProgram)) != "true" {
		return nil // the driver has found that it can mount
	}
	return fault.Errorf(errdefs.ErrNotImplemented,
		"the kernel does not let users mount an overlay filesystem here: use the storage driver fuse or vfs")
}
