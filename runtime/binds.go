package runtime

import (
	"errors"
	"os"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// cloneSources returns a copy of the mount tree at the source of each bind mount, opened with the caller's access to
// files and no more. The caller of it closes the files, also when it fails.
func cloneSources(mounts []specs.Mount) ([]*os.File, error) {
	var trees []*os.File
	for _, mount := range mounts {
		options := parseMountOptions(mount)
		if !options.bind {
			continue
		}
		if !path.IsAbs(mount.Source) {
			return trees, wire.Errorf(stageSandbox, "open bind source", mount.Source, errors.New("not an absolute path"))
		}
		fd, err := cloneTree(unix.AT_FDCWD, mount.Source, options.recursive)
		if err != nil {
			return trees, wire.Errorf(stageSandbox, "open bind source", mount.Source, err)
		}
		trees = append(trees, os.NewFile(uintptr(fd), mount.Source))
	}
	return trees, nil
}
