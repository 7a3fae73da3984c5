package tree

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// openData opens the data of a regular file, which is in a layer above l: its own, or that of a file in l that it refers
// to.
func (l stack) openData(at location) (*os.File, error) {
	path := at.path
	below, err := readBelow(at, layerfmt.DataXattr)
	if err != nil {
		return nil, err
	}
	if below == nil {
		fd, err := retry(func() (int, error) {
			return unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		})
		return os.NewFile(uintptr(fd), path), err
	}
	f, err := l.openBelow(below)
	if err != nil {
		return nil, &os.PathError{Op: "find data of", Path: path, Err: err}
	}
	return f, nil
}

func (l stack) openBelow(below *layerfmt.Below) (*os.File, error) {
	depth := below.Layers[0]
	if depth > len(l) {
		return nil, fmt.Errorf("in layer %d from the lowest, of which %d are known", depth, len(l))
	}
	files, err := OpenFiles(Tree{Dir: l[len(l)-depth].path})
	if err != nil {
		return nil, err
	}
	defer files.Close()
	return files.openPlain(below.Path)
}

// readBelow returns the reference to layers below that a file has in an xattr, nil where it has none.
func readBelow(at location, xattr string) (*layerfmt.Below, error) {
	value, err := at.getXattr(xattr)
	if isNoXattr(err) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "read " + xattr + " of", Path: at.path, Err: err}
	}
	below, err := layerfmt.DecodeBelow(value)
	if err != nil {
		return nil, &os.PathError{Op: "read " + xattr + " of", Path: at.path, Err: err}
	}
	return &below, nil
}
