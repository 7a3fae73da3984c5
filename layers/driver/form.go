package driver

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/atomicfile"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// plainName is the file in the driver's directory that says that the store's trees are plain files. What plain files
// cannot show is in the indexes of image layers, and in records in the work directories of containers. A store is made
// plain where its filesystem keeps no xattrs of users, and stays plain on any other filesystem.
const plainName = "plain"

const plainText = "The files of these layers have no xattrs. Owners, modes and devices are in the file index of " +
	"each image layer,\n" +
	"and in the file work/xattrs of each container.\n"

// findForm returns the layout of the driver's home, with the form of its trees.
func findForm(home string) (Layout, error) {
	_, err := os.Stat(filepath.Join(home, plainName))
	if errors.Is(err, os.ErrNotExist) {
		return Layout{Home: home}, nil
	}
	return Layout{Home: home, Plain: err == nil}, err
}

// SettleForm decides the form of the trees below the driver's directory. A new store is made plain if the filesystem
// keeps no xattrs or if the caller wants that.
func SettleForm(home string, plain bool) (Layout, error) {
	if _, err := os.Stat(filepath.Join(home, layersDir)); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(home, 0o700); err != nil {
			return Layout{}, err
		}
		if plain || !keepsXattrs(home) {
			if err := atomicfile.Write(filepath.Join(home, plainName), []byte(plainText), 0o600); err != nil {
				return Layout{}, err
			}
		}
	}
	l, err := findForm(home)
	if err != nil || l.Plain || readsXattrs(home) {
		return l, err
	}
	return Layout{}, fault.Errorf(errdefs.ErrFailedPrecondition,
		"its files have their owners in xattrs, and the filesystem that %s is on now keeps none of users: move the "+
			"store to one that does", home)
}

// readsXattrs tells whether the filesystem of a directory knows xattrs of users.
func readsXattrs(dir string) bool {
	_, err := unix.Getxattr(dir, layerfmt.StatXattr, nil)
	return !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOSYS)
}

// keepsXattrs tries whether the filesystem of a directory keeps an xattr.
func keepsXattrs(dir string) bool {
	const probe = "user.rcrun.probe"
	return unix.Setxattr(dir, probe, nil, 0) == nil && unix.Removexattr(dir, probe) == nil
}
