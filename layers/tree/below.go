package tree

import (
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// openData opens the data of a regular file in a layer above l: the file's own data, or that of the file in l that it
// refers to.
func (l stack) openData(at location) (*os.File, error) {
	below, err := readBelow(at, layerfmt.DataXattr)
	if err != nil {
		return nil, err
	}
	if below == nil {
		return at.open()
	}
	f, err := l.openBelow(below)
	if err != nil {
		return nil, at.fault("find data of", lasting(err))
	}
	return f, nil
}

func (l stack) openBelow(below *layerfmt.Below) (*os.File, error) {
	depth := below.Layers[0]
	if depth > len(l) {
		return nil, fmt.Errorf("in layer %d from the lowest, of which %d are known", depth, len(l))
	}
	root := l[len(l)-depth]
	at, err := openBelow(root, path.Dir(below.Path))
	if err != nil {
		return nil, err
	}
	defer at.leave()
	return at.child(path.Base(below.Path)).open()
}

// lasting returns an error about a layer that nothing changes, as an error that does not mean "the file has changed".
func lasting(err error) error {
	var gone *goneError
	if errors.As(err, &gone) {
		return &gone.PathError
	}
	return err
}

// readBelow returns the reference to layers below that a file has in an xattr, nil if it has none.
func readBelow(at location, xattr string) (*layerfmt.Below, error) {
	value, err := at.getXattr(xattr)
	if isNoXattr(err) {
		return nil, nil
	}
	if err != nil {
		return nil, at.fault("read "+xattr+" of", err)
	}
	below, err := layerfmt.DecodeBelow(value)
	if err != nil {
		return nil, at.fault("read "+xattr+" of", err)
	}
	return &below, nil
}
