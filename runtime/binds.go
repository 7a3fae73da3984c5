package runtime

import (
	"os"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/wire"
)

// cloneSources returns a copy of the mount tree at the source of each bind mount, or the file to be copied. It opens
// them with the caller's access to files and no more. Its caller closes the files, also when it fails.
func cloneSources(mounts []specs.Mount) ([]*os.File, error) {
	var trees []*os.File
	for _, mount := range mounts {
		if !isBind(mount) {
			continue
		}
		tree, err := source(mount)
		if err != nil {
			err = fault.As(errdefs.ErrInvalidArgument, err)
			return trees, wire.Errorf(stageSandbox, "open bind source", mount.Source, err)
		}
		trees = append(trees, tree)
	}
	return trees, nil
}
