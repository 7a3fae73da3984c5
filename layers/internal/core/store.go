package core

import (
	"errors"
	"fmt"
	"path/filepath"

	"go.podman.io/storage"
	"go.podman.io/storage/types"
	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/own"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/tree"
)

// Options says where a store is.
type Options struct {
	// Root is the directory that keeps everything. It is made if it is missing.
	Root string
	// RunRoot is a directory for what may be lost at the next boot. It is made if it is missing.
	RunRoot string
	// Driver is the graph driver of a store that is made now; "" is "fuse". The other drivers need a process that is
	// user 0 of a user namespace with many ids, in a mount namespace of its own.
	Driver string
	// Limits bound what a layer may unpack to. Their Bytes also bound what a compressed archive of images may unpack
	// to.
	Limits tree.Limits
	// Plain has a new store of the driver "fuse" do without xattrs, even if the filesystem keeps them.
	Plain bool
	// Mounter mounts what the library asks the driver for; nil if nothing can. Nothing in the packages of layers/ needs
	// it.
	Mounter driver.Mounter
}

// Store is an open store. Its methods may be called from several goroutines, and several processes may use the same
// store at once.
type Store struct {
	Root       string
	DriverName string
	Lib        storage.Store
	Layout     driver.Layout // of the driver "fuse"
	Limits     tree.Limits
}

// Open opens the store, and makes it if it is not there.
func Open(opts Options) (*Store, error) {
	s, err := open(opts)
	if err != nil {
		return nil, fmt.Errorf("open image store %s: %w", opts.Root, err)
	}
	return s, nil
}

func open(opts Options) (*Store, error) {
	if opts.Root == "" || opts.RunRoot == "" {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "no directory given")
	}
	root, err := filepath.Abs(opts.Root)
	if err != nil {
		return nil, err
	}
	if err := makeOwnDirs(root, opts.RunRoot); err != nil {
		return nil, err
	}
	name, err := driver.Find(root, opts.Driver)
	if err != nil {
		return nil, err
	}
	s := &Store{Root: root, DriverName: name, Layout: driver.Layout{Home: filepath.Join(root, driver.Fuse)},
		Limits: opts.Limits}
	if name == driver.Fuse {
		if s.Layout, err = driver.SettleForm(s.Layout.Home, opts.Plain); err != nil {
			return nil, err
		}
	}
	s.moveStale()
	err = s.withReserve(func() (err error) {
		s.Lib, err = openLibrary(types.StoreOptions{GraphRoot: root, RunRoot: opts.RunRoot, GraphDriverName: name})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(driver.CheckMounts(root, name), s.setUpDriver(opts.Mounter)); err != nil {
		s.Lib.Free()
		return nil, err
	}
	s.TakeOver()
	s.keepReserve()
	return s, nil
}

// setUpDriver gives the driver, which the library has made, the limits and the mounter.
func (s *Store) setUpDriver(m driver.Mounter) error {
	lib, err := s.Lib.GraphDriver()
	if err != nil {
		return err
	}
	if ours, ok := lib.(*driver.Driver); ok {
		*ours.Limits = s.Limits
		if m != nil {
			ours.MountWith(m)
		}
	}
	return nil
}

// makeOwnDirs makes the directories and checks that they can be written to. The library would name a lock file in its
// error, which tells a user nothing.
func makeOwnDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := own.MakeDir(dir); err != nil {
			return err
		}
		if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			return fmt.Errorf("directory %s is not writable: %w", dir, err)
		}
	}
	return nil
}

// Close releases the store.
func (s *Store) Close() error {
	s.Lib.Free()
	return nil
}

// Status tells how the graph driver works on this host, as pairs of a key and a value.
func (s *Store) Status() ([][2]string, error) {
	status, err := s.Lib.Status()
	if err != nil {
		return nil, fmt.Errorf("ask the storage driver for its status: %w", err)
	}
	return status, nil
}
