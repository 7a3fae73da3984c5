package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	graphdriver "go.podman.io/storage/drivers"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
)

// unions are the mounts that Get makes: one for each layer, however often Get is called, until the last Put. They are
// not below the layers' directories, so that a process that removes a layer cannot reach into its mount.
type unions struct {
	layout  Layout
	mounter Mounter
	mounts  graphdriver.Checker
	uses    *graphdriver.RefCounter
}

func newUnions(l Layout, m Mounter) *unions {
	mounts := graphdriver.NewDefaultChecker()
	return &unions{layout: l, mounter: m, mounts: mounts, uses: graphdriver.NewRefCounter(mounts)}
}

// get returns where the union of a layer and those below it is mounted, and mounts it first if it is not.
func (u *unions) get(id string, options graphdriver.MountOpts) (target string, err error) {
	target = u.layout.mountPoint(id)
	if u.uses.Increment(target) > 1 {
		return target, nil
	}
	defer func() {
		if err != nil {
			u.uses.Decrement(target)
			err = fmt.Errorf("mount layer %s: %w", id, errors.Join(err, u.clear(id)))
		}
	}()
	chain, err := u.layout.Chain(id)
	if err != nil {
		return "", err
	}
	work := u.layout.work(id)
	if _, err := os.Stat(work); err != nil {
		work = u.layout.mountWork(id) // an image layer has none
	}
	for _, dir := range []string{target, work} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
	}
	if slices.Contains(options.Options, "ro") {
		return target, u.mounter.Mount(layerfmt.Stack{Driver: Fuse, Lowers: lowersOf(chain)}, target)
	}
	if chain[0].Index != "" {
		return "", errors.New("it is an image's, in a store without xattrs, and can only be mounted read-only")
	}
	if err := removeIndex(u.layout.Index(id)); err != nil { // the index will not fit the tree any more
		return "", err
	}
	quota, err := u.layout.quota(id)
	if err != nil {
		return "", err
	}
	stack := layerfmt.Stack{Driver: Fuse, Upper: chain[0].Dir, Work: work, Lowers: lowersOf(chain[1:]), Quota: quota,
		Plain: u.layout.Plain}
	return target, u.mounter.Mount(stack, target)
}

// put releases a mount that get returned.
func (u *unions) put(id string) error {
	target := u.layout.mountPoint(id)
	if u.uses.Decrement(target) > 0 {
		return nil
	}
	return u.unmount(id)
}

// unmount takes a union down, if it is there.
func (u *unions) unmount(id string) error {
	if target := u.layout.mountPoint(id); u.mounts.IsMounted(target) {
		if err := u.mounter.Unmount(target); err != nil {
			return err
		}
	}
	return u.clear(id)
}

// clear removes the directories of a mount that is gone.
func (u *unions) clear(id string) error {
	if err := os.Remove(u.layout.mountPoint(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return rmtree.Remove(filepath.Dir(u.layout.mountPoint(id)))
}

// putAll unmounts all unions, even those in use.
func (u *unions) putAll() error {
	entries, err := os.ReadDir(u.layout.mounts())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, u.unmount(e.Name()))
	}
	return errors.Join(errs...)
}
