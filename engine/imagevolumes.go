package engine

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/rcrun/rcrun/unionmount"
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
	for _, text := range h.Binds {
		if b, err := parseBind(text); err == nil && b.target == target {
			return true
		}
	}
	for mounted := range h.Tmpfs {
		if path.Clean(mounted) == target {
			return true
		}
	}
	return false
}

// Undone returns a sentence on what the container's image asks for and is not done.
func (c *Container) Undone() []string {
	var missing []string
	if volumes := c.imageVolumes(); len(volumes) > 0 {
		missing = append(missing, fmt.Sprintf("volumes of their own for %s (a part of the container's root instead, which -v avoids)", strings.Join(volumes, ", ")))
	}
	if check := c.Config.Healthcheck; check != nil && !bytes.Contains(check, []byte(`["NONE"]`)) {
		missing = append(missing, "its health check")
	}
	if len(missing) == 0 {
		return nil
	}
	return []string{"the image asks for what is not done: " + strings.Join(missing, ", and ")}
}

// makeVolume makes the directory of an image's volume where the image has none. Links on the way are followed, but not out
// of the tree. Where a file is in the way, nothing is made.
func (t tree) makeVolume(volume string) error {
	const maxLinks = 40
	links := 0
	dir, above := t.union.Root(), []*unionmount.Node{}
	for todo := split(volume); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if name == ".." {
			if len(above) > 0 {
				dir, above = above[len(above)-1], above[:len(above)-1]
			}
			continue
		}
		if name == "." {
			continue
		}
		node, _, err := t.union.Lookup(dir, name)
		if errors.Is(err, unix.ENOENT) {
			node, err = t.create(dir, name, unix.S_IFDIR)
		}
		if err != nil {
			return err
		}
		switch node.Kind() {
		case unix.S_IFDIR:
			dir, above = node, append(above, dir)
		case unix.S_IFLNK:
			target, err := t.union.Readlink(node)
			if links++; err != nil || links > maxLinks {
				return err
			}
			if path.IsAbs(target) {
				dir, above = t.union.Root(), nil
			}
			todo = append(split(target), todo...)
		default:
			return nil
		}
	}
	return nil
}
