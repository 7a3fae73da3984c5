package layers

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
	"github.com/rcrun/rcrun/layers/tree"
)

// Options says where a store is.
type Options struct {
	// Root is the directory that keeps everything, made if missing.
	Root string
	// RunRoot is a directory for what may be lost at the next boot, made if missing.
	RunRoot string
	// Driver is the driver of a store that is to be made, "" for DriverFuse. The others need to be run as user 0 of a
	// user namespace with many ids, and in a mount namespace of one's own.
	Driver string
	// Limits bound what a layer may unpack to, and their Bytes also what a compressed archive of images may.
	Limits tree.Limits
	// Plain has a store of DriverFuse that is to be made do without xattrs, also where the filesystem keeps them.
	Plain bool
	// Mounter, if not nil, mounts what the library asks the driver for. Nothing in this package needs it.
	Mounter Mounter
}

// Store is an open store. Its methods may be called from several goroutines, and several processes may use the same
// store at once.
type Store struct {
	root       string
	driverName string
	lib        storage.Store
	layout     layout // of DriverFuse
	limits     tree.Limits
}

// Open opens the store, making it if it is not there.
//
// The storage library reads the host's storage.conf at the first call in a process, and fails where that is broken; what
// it says has no influence on the store. There is no option against it. A program that is to be independent of that file
// sets CONTAINERS_STORAGE_CONF for itself before it begins to work: this package leaves the environment alone.
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
	driver, err := FindDriver(root, opts.Driver)
	if err != nil {
		return nil, err
	}
	s := &Store{root: root, driverName: driver, layout: layout{home: filepath.Join(root, DriverFuse)}, limits: opts.Limits}
	if driver == DriverFuse {
		if s.layout, err = settleForm(s.layout.home, opts.Plain); err != nil {
			return nil, err
		}
	}
	s.moveStale()
	err = s.withReserve(func() (err error) {
		s.lib, err = openLibrary(types.StoreOptions{GraphRoot: root, RunRoot: opts.RunRoot, GraphDriverName: driver})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkMounts(root, driver), s.setUpDriver(opts.Mounter)); err != nil {
		s.lib.Free()
		return nil, err
	}
	s.takeOver()
	s.keepReserve()
	return s, nil
}

// setUpDriver tells the driver, which the library has made, what else it has to know.
func (s *Store) setUpDriver(m Mounter) error {
	lib, err := s.lib.GraphDriver()
	if err != nil {
		return err
	}
	if ours, ok := lib.(*driver); ok {
		*ours.limits = s.limits
		if m != nil {
			ours.mountWith(m)
		}
	}
	return nil
}

// makeOwnDirs makes the directories and sees to it that they can be written to, since the library's errors about that
// name a lock file that nobody has heard of.
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
	s.lib.Free()
	return nil
}

// Driver is the driver of the store.
func (s *Store) Driver() string { return s.driverName }

// Status tells how the driver works here, as pairs of a key and a value.
func (s *Store) Status() ([][2]string, error) {
	status, err := s.lib.Status()
	if err != nil {
		return nil, fmt.Errorf("ask the storage driver for its status: %w", err)
	}
	return status, nil
}
