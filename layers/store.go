package layers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"go.podman.io/storage"
	"go.podman.io/storage/types"
	"golang.org/x/sys/unix"

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
	root   string
	driver string
	lib    storage.Store
	layout layout // of DriverFuse
	limits tree.Limits
}

// Open opens the store, making it if it is not there.
func Open(opts Options) (*Store, error) {
	s, err := open(opts)
	if err != nil {
		return nil, fmt.Errorf("open image store %s: %w", opts.Root, err)
	}
	return s, nil
}

func open(opts Options) (*Store, error) {
	if opts.Root == "" || opts.RunRoot == "" {
		return nil, errors.New("no directory given")
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
	s := &Store{root: root, driver: driver, layout: layout{home: filepath.Join(root, driverName)}, limits: opts.Limits}
	if driver == DriverFuse {
		if err := s.settleForm(opts.Plain); err != nil {
			return nil, err
		}
	}
	s.moveStale()
	ignoreHostConfig(opts.RunRoot)
	err = s.withReserve(func() (err error) {
		s.lib, err = openLibrary(types.StoreOptions{GraphRoot: root, RunRoot: opts.RunRoot, GraphDriverName: driver})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.checkMounts(), s.setUpDriver(opts.Mounter)); err != nil {
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

// tempRoot is where unfinished work is kept: downloads, and archives that have to be unpacked to be read.
func (s *Store) tempRoot() string { return filepath.Join(s.root, "tmp") }

// Close releases the store.
func (s *Store) Close() error {
	s.lib.Free()
	return nil
}

// hostConfig is whether the library has been kept from the host's configuration: it reads that once per process.
var hostConfig sync.Once

// ignoreHostConfig lets the library find no configuration. storage.GetStore reads storage.conf even when all options
// are given, so a file meant for podman, or one with an error, would decide about our store; and to fill in defaults
// that nobody asks for, it makes a directory below /tmp that any other user may have made before, which is then an
// error. The environment is put back before this returns.
func ignoreHostConfig(runRoot string) {
	hostConfig.Do(func() {
		overrides := map[string]string{
			"CONTAINERS_STORAGE_CONF":          os.DevNull,
			"CONTAINERS_STORAGE_CONF_OVERRIDE": "",
			"STORAGE_DRIVER":                   "",
			"STORAGE_OPTS":                     "",
			"XDG_RUNTIME_DIR":                  runRoot,
			"HOME":                             runRoot,
		}
		for name, value := range overrides {
			defer restoreEnv(name)()
			os.Setenv(name, value)
		}
		// The result is of no interest: it is read to be remembered by the library as the defaults.
		_, _ = types.DefaultStoreOptions()
	})
}

// restoreEnv returns a function that gives a variable the value that it has now.
func restoreEnv(name string) func() {
	value, ok := os.LookupEnv(name)
	return func() {
		if ok {
			os.Setenv(name, value)
		} else {
			os.Unsetenv(name)
		}
	}
}
