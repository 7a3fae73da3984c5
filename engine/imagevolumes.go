package engine

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// imageVolumes are the paths that the image declares as volumes and on which the user mounts nothing, in order.
func (c *Container) imageVolumes() []string {
	var paths []string
	for _, volume := range slices.Sorted(maps.Keys(c.Config.Volumes)) {
		volume = path.Clean("/" + volume)
		if volume != "/" && !c.HostConfig.mountsOn(volume) {
			paths = append(paths, volume)
		}
	}
	return paths
}

// mountsOn tells whether the user mounts something on a path.
func (h *HostConfig) mountsOn(target string) bool {
	binds, _ := h.binds()
	if slices.ContainsFunc(binds, func(b bind) bool { return b.target == target }) {
		return true
	}
	memory, _ := h.tmpfs()
	for _, m := range memory {
		if path.Clean(m.target) == target {
			return true
		}
	}
	return false
}

// Undone returns a sentence on what the container's image asks for and is not done.
func (c *Container) Undone() []string {
	var missing []string
	if volumes := c.imageVolumes(); len(volumes) > 0 {
		missing = append(missing, fmt.Sprintf("volumes of their own for %s (a part of the container's root instead, "+
			"which HostConfig.Binds avoids)", strings.Join(volumes, ", ")))
	}
	if check := c.Config.Healthcheck; check != nil && !slices.Equal(check.Test, []string{"NONE"}) {
		missing = append(missing, "its health check")
	}
	if len(missing) == 0 {
		return nil
	}
	return []string{"the image asks for what is not done: " + strings.Join(missing, ", and ")}
}

// makeVolume makes the directory of an image's volume where the image has none. Where a file is in the way, nothing is
// made.
func (t tree) makeVolume(volume string) error {
	_, err := t.walk(volume, t.makeRootsDir)
	if errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}
