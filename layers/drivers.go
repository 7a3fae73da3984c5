package layers

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
	// DriverFuse is this package's own: caller-owned trees, of which a union filesystem in user space shows the owners.
	DriverFuse = layerfmt.DriverFuse
	// DriverOverlay is the library's for the kernel's overlay filesystem. Its files have their owners on disk.
	DriverOverlay = layerfmt.DriverOverlay
	// DriverVFS is the library's that copies a whole tree for each layer. Its files have their owners on disk.
	DriverVFS = layerfmt.DriverVFS
)

// Drivers are all of them, the best first.
func Drivers() []string { return []string{DriverFuse, DriverOverlay, DriverVFS} }

// CheckDriver refuses a name that is no driver's; "" is none.
func CheckDriver(wanted string) error {
	if wanted == "" || slices.Contains(Drivers(), wanted) {
		return nil
	}
	return fault.Errorf(errdefs.ErrInvalidArgument, "there is no storage driver %q: use one of %s", wanted, strings.Join(Drivers(), ", "))
}

// FindDriver returns the driver of the store at root, which has one from the moment that it is made. wanted is the one
// to make it with, "" for DriverFuse; a store that has another is an error.
func FindDriver(root, wanted string) (string, error) {
	if err := CheckDriver(wanted); err != nil {
		return "", err
	}
	for _, name := range Drivers() {
		switch _, err := os.Stat(filepath.Join(root, name+"-layers")); { // where the library keeps the driver's records
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return "", fmt.Errorf("look for the storage driver: %w", err)
		case wanted != "" && wanted != name:
			return "", fault.Errorf(errdefs.ErrFailedPrecondition, "the store %s has the storage driver %s, not %s: a store keeps the driver that it was made with; use another data directory", root, name, wanted)
		default:
			return name, nil
		}
	}
	if wanted == "" {
		return DriverFuse, nil
	}
	return wanted, nil
}

// checkMounts refuses an open store at root whose overlay driver found that the kernel does not let it mount: it would
// call another program, without which the roots of containers are mounted here.
func checkMounts(root, driver string) error {
	if driver != DriverOverlay {
		return nil
	}
	needsProgram, err := os.ReadFile(filepath.Join(root, DriverOverlay, ".has-mount-program"))
	if err != nil || strings.TrimSpace(string(needsProgram)) != "true" {
		return nil // it has not found so
	}
	return fault.Errorf(errdefs.ErrNotImplemented, "the kernel does not let users mount an overlay filesystem here: use the storage driver fuse or vfs")
}
