package tree

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// onHost are the xattrs of files that are what they show. They are presented under the names that other trees use, so
// that everything is read in one way.
type onHost struct{ onDisk }

// shownXattrs are the xattrs besides user.* that layers have of host-owned files. All others belong to the host.
var shownXattrs = []string{"security.capability", "security.ima"}

// get knows the mark of an opaque directory as the kernel's overlay sets it for a user, and the xattrs that a container
// sees.
func (o onHost) get(l location, name string) (string, error) {
	seen, ok := layerfmt.UnescapeXattr(name)
	switch {
	case name == layerfmt.OpaqueXattr:
		seen = name
	case !ok || !isShown(seen):
		return "", unix.ENODATA
	}
	return o.onDisk.get(l, seen)
}

func (o onHost) list(l location) ([]string, error) {
	names, err := o.onDisk.list(l)
	names = slices.DeleteFunc(names, func(name string) bool { return !isShown(name) })
	for i, name := range names {
		names[i] = layerfmt.EscapeXattr(name)
	}
	return names, err
}

func isShown(name string) bool {
	return slices.Contains(shownXattrs, name) || strings.HasPrefix(name, "user.") &&
		!strings.HasPrefix(name, layerfmt.OverlayPrefix)
}
