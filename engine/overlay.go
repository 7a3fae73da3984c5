package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/wire"
)

// overlayRoot is a root filesystem of the kernel's overlay. It is there for the storage driver of that name, whose
// layers have the owners that the sandbox's user namespace maps.
type overlayRoot struct {
	Base        string // what the other paths are relative to: the kernel takes one page for all of them
	Upper, Work string
	Lowers      []string // the nearest first
}

// newOverlayRoot puts an init layer into a stack of the store's. The store's home is the base, in which its layers have
// the shortest names.
func newOverlayRoot(stack layerfmt.Stack, initLayer string) (overlayRoot, error) {
	base := filepath.Dir(filepath.Dir(stack.Upper))
	paths := []string{stack.Upper, stack.Work, initLayer}
	for _, lower := range stack.Lowers {
		paths = append(paths, lower.Dir)
	}
	for i, path := range paths {
		short, err := filepath.Rel(base, path)
		if err != nil {
			return overlayRoot{}, err
		}
		paths[i] = short
	}
	return overlayRoot{Base: base, Upper: paths[0], Work: paths[1], Lowers: paths[2:]}, nil
}

// options returns the mount options, which must fit into a page.
func (r overlayRoot) options() (string, error) {
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr", strings.Join(r.Lowers, ":"), r.Upper, r.Work)
	if len(options) >= os.Getpagesize() {
		return "", fmt.Errorf("the kernel's overlay takes fewer than these %d layers: use the storage driver fuse",
			len(r.Lowers))
	}
	return options, nil
}

// Mount mounts the overlay from within Base.
func (r overlayRoot) Mount(target string) (*os.File, error) {
	at, err := unix.Open(target, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, wire.Errorf("sandbox", "open the directory of the root filesystem", target, err)
	}
	defer unix.Close(at)
	before, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, wire.Errorf("sandbox", "open the working directory", "", err)
	}
	defer unix.Close(before)
	if err := unix.Chdir(r.Base); err != nil {
		return nil, wire.Errorf("sandbox", "enter the store", r.Base, err)
	}
	options, err := r.options()
	if err != nil {
		return nil, wire.Errorf("sandbox", "mount the root filesystem", target, err)
	}
	path := fmt.Sprintf("/proc/self/fd/%d", at)
	if err := unix.Mount("overlay", path, "overlay", unix.MS_NODEV, options); err != nil {
		return nil, wire.Errorf("sandbox", "mount the root filesystem", target, err)
	}
	if err := unix.Fchdir(before); err != nil {
		return nil, wire.Errorf("sandbox", "return to the working directory", "", err)
	}
	return nil, nil
}
