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
	// Fuse is this package's own: caller-owned trees, of which a union filesystem in user space shows the owners.
	Fuse = layerfmt.DriverFuse
	// Overlay is the library's for the kernel's overlay filesystem. Its files have their owners on disk.
	Overlay = layerfmt.DriverOverlay
	// VFS is the library's that copies a whole tree for each layer. Its files have their owners on disk.
	VFS = layerfmt.DriverVFS
)

// Names are all of them, the best first.
func Names() []string { return []string{Fuse, Overlay, VFS} }

// Check refuses a name that is no driver's; "" is none.
func Check(wanted string) error {
	if wanted == "" || slices.Contains(Names(), wanted) {
		return nil
	}
	return fault.Errorf(errdefs.ErrInvalidArgument, "there is no storage driver %q: use one of %s", wanted,
		strings.Join(Names(), ", "))
}

// Find returns the driver of the store at root, which has one from the moment that it is made. wanted is the one
// to make it with, "" for DriverFuse; a store that has another is an error.
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

// CheckMounts refuses an open store at root whose overlay driver found that the kernel does not let it mount: it would
// call another program, without which the roots of containers are mounted here.
func CheckMounts(root, driver string) error {
	if driver != Overlay {
		return nil
	}
	needsProgram, err := os.ReadFile(filepath.Join(root, Overlay, ".has-mount-program"))
	if err != nil || strings.TrimSpace(string(needsProgram)) != "true" {
		return nil // it has not found so
	}
	return fault.Errorf(errdefs.ErrNotImplemented,
		"the kernel does not let users mount an overlay filesystem here: use the storage driver fuse or vfs")
}
