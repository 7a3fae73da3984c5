package unionmount

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerindex"
)

// place is a file in a lower layer, by its path from the layer's root ("" is the root itself). Lower files do not
// move, so a place stays valid.
type place struct {
	layer *layer
	// base is the directory that path starts at, of a path that would be long; nil of others. Otherwise the paths of
	// directories that lie deep, one below the other, would together grow with the square of the depth.
	base *place
	path string
	dir  layerindex.Dir // what the layer's index has of a directory; unknown without one
}

// longPlace is from which length of path on the places below a directory are relative to it.
const longPlace = 1024

// child returns the place of an entry of a directory, without what an index has of it.
func (p place) child(name string) place {
	switch {
	case len(p.path) >= longPlace:
		return place{layer: p.layer, base: &p, path: name}
	case p.path == "":
		return place{layer: p.layer, path: name}
	}
	return place{layer: p.layer, base: p.base, path: p.path + "/" + name}
}

// isIn tells whether a place is that of an entry of a directory, as child made it.
func (p place) isIn(dir place, name string) bool {
	if p.layer != dir.layer {
		return false
	}
	if p.base == dir.base {
		rest, below := strings.CutPrefix(p.path, dir.path)
		return below && rest == "/"+name
	}
	return p.path == name && p.base != nil && p.base.base == dir.base && p.base.path == dir.path
}

// parts returns the paths that lead to the file, each relative to the one before.
func (p place) parts() []string {
	parts := []string{p.path}
	for b := p.base; b != nil; b = b.base {
		parts = append(parts, b.path)
	}
	slices.Reverse(parts)
	return parts
}

// full returns the path from the layer's root.
func (p place) full() string {
	if p.base == nil {
		return p.path
	}
	return strings.Join(p.parts(), "/")
}

// open opens the file.
func (p place) open(flags int) (int, error) {
	if p.base == nil {
		return beneath.OpenPath(p.layer.root, p.path, flags)
	}
	parts := p.parts()
	last := len(parts) - 1
	at := -1
	for i, part := range parts {
		from, how := at, unix.O_PATH|unix.O_DIRECTORY
		if i == 0 {
			from = p.layer.root
		}
		if i == last {
			how = flags
		}
		next, err := beneath.OpenPath(from, part, how)
		if at >= 0 {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// samePlaces tells whether two lists are of the same files.
func samePlaces(a, b []place) bool {
	return slices.EqualFunc(a, b, func(x, y place) bool {
		if x.base == nil && y.base == nil {
			return x.layer == y.layer && x.path == y.path
		}
		return x.layer == y.layer && x.full() == y.full()
	})
}
