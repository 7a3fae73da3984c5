package main

import (
	"errors"
	"fmt"

	"github.com/rcrun/rcrun/layers/registry"
	"github.com/rcrun/rcrun/layers/tree"
)

// withHint adds to an error of the libraries, which know nothing of this command line, which flags help.
func withHint(err error) error {
	var session *registry.SessionDirError
	switch {
	case errors.Is(err, tree.ErrTooLarge):
		return fmt.Errorf("%w (the flags --max-layer-size, --max-layer-files, --max-layer-depth and --max-xattr-size "+
			"set "+
			"the limits)", err)
	case errors.As(err, &session):
		return fmt.Errorf("%w; unset the variable, or give --authfile", err)
	}
	return err
}
