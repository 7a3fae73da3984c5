package main

import (
	"errors"
	"fmt"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers/registry"
	"github.com/rcrun/rcrun/layers/tree"
)

// withHint adds to an error of the libraries, which know nothing of this command line, which flags help.
func withHint(err error) error {
	var session *registry.SessionDirError
	var damaged *engine.DamagedError
	var runDir *engine.RunDirError
	var kind *layered.DriverError
	switch {
	case errors.As(err, &damaged):
		return fmt.Errorf("%w (remove it with --force)", err)
	case errors.As(err, &runDir):
		return fmt.Errorf("%w: what is left is \"rcrun rm -f %s\"", err, runDir.Container)
	case errors.As(err, &kind):
		return fmt.Errorf("%w: use --root DIR --storage-driver fuse", err)
	case errors.Is(err, tree.ErrTooLarge):
		return fmt.Errorf("%w (the flags --max-layer-size, --max-layer-files, --max-layer-depth and --max-xattr-size "+
			"set "+
			"the limits)", err)
	case errors.As(err, &session):
		return fmt.Errorf("%w; unset the variable, or give --authfile", err)
	}
	return err
}
