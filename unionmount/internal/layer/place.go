package layer

import (
	"iter"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
)

// Place is a file in a lower layer, by its path from the layer's root ("" is the root itself). Lower files do not
// move, so a place stays valid.
type Place struct {
	Layer *Layer
	// Base is the directory at which a path starts that would be long otherwise; nil for other paths. Without it, the
	// paths of directories that lie one below the other would together grow with the square of the depth.
	Base *Place
	path string
	Dir  layerindex.Dir // what the index of the layer has of a directory; unknown if there is none
}

// longPlace is the length of a directory's path from which on the places below it are relative to it.
const longPlace = 1024

// Child returns the place of an entry of a directory, without Dir.
func (p Place) Child(name string) Place {
	switch {
	case len(p.path) >= longPlace:
		return Place{Layer: p.Layer, Base: &p, path: name}
	case p.path == "":
		return Place{Layer: p.Layer, path: name}
	}
	return Place{Layer: p.Layer, Base: p.Base, path: p.path + "/" + name}
}

// IsIn tells whether p is the place that dir.Child(name) returns.
func (p Place) IsIn(dir Place, name string) bool {
	if p.Layer != dir.Layer {
		return false
	}
	if p.Base == dir.Base {
		rest, below := strings.CutPrefix(p.path, dir.path)
		return below && rest == "/"+name
	}
	return p.path == name && p.Base != nil && p.Base.Base == dir.Base && p.Base.path == dir.path
}

// parts returns the paths that lead to the file, each relative to the one before.
func (p Place) parts() []string {
	parts := []string{p.path}
	for b := p.Base; b != nil; b = b.Base {
		parts = append(parts, b.path)
	}
	slices.Reverse(parts)
	return parts
}

// Full returns the path from the layer's root.
func (p Place) Full() string {
	if p.Base == nil {
		return p.path
	}
	return strings.Join(p.parts(), "/")
}

// Open opens the file.
func (p Place) Open(flags int) (int, error) {
	if p.Base == nil {
		return beneath.OpenPath(p.Layer.Root, p.path, flags)
	}
	parts := p.parts()
	last := len(parts) - 1
	at := -1
	for i, part := range parts {
		from, how := at, unix.O_PATH|unix.O_DIRECTORY
		if i == 0 {
			from = p.Layer.Root
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

// Locations returns the numbers of the layers of places, and the paths in them.
func Locations(of []Place) iter.Seq2[int, string] {
	return func(yield func(depth int, path string) bool) {
		for _, p := range of {
			if !yield(p.Layer.Depth, p.Full()) {
				return
			}
		}
	}
}

// SamePlaces tells whether two lists are of the same files.
func SamePlaces(a, b []Place) bool {
	return slices.EqualFunc(a, b, func(x, y Place) bool {
		if x.Base == nil && y.Base == nil {
			return x.Layer == y.Layer && x.path == y.path
		}
		return x.Layer == y.Layer && x.Full() == y.Full()
	})
}

// Probe returns what shows at a name of a directory, nil for nothing, and tells whether the directories below count.
// found is as for layerfmt.Merge.
func (at Place) Probe(name string, found bool) (_ *Probed, more bool, err error) {
	fd, err := at.Open(unix.O_PATH | unix.O_DIRECTORY)
	if err == unix.ENOTDIR || err == unix.ENOENT {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer unix.Close(fd)
	p, err := at.Layer.Probe(fd, name)
	seen, err := p.Seen(err)
	if err != nil {
		return nil, false, err
	}
	shows, more := layerfmt.Merge(found, seen)
	if more {
		at.Layer.SeeMarks(&seen, fd, name)
		_, more = layerfmt.Merge(found, seen)
	}
	if !shows {
		return nil, more, nil
	}
	return &p, more, nil
}
