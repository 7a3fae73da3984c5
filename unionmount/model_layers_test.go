package unionmount

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// randomPath returns one of few paths, so that operations meet.
func randomPath(r *rand.Rand) string {
	names := []string{"a", "b", "c", "d"}
	path := names[r.IntN(len(names))]
	for range r.IntN(3) {
		path += "/" + names[r.IntN(len(names))]
	}
	return path
}

// randomLayers returns one to five layers, the nearest first. In one of them the directory h holds a file with three
// names and a link with two.
func randomLayers(r *rand.Rand) []tree {
	layers := make([]tree, 1+r.IntN(5))
	for i := range layers {
		layers[i] = tree{}
		for range 2 + r.IntN(8) {
			layers[i].addRandom(r, i)
		}
	}
	group := layers[r.IntN(len(layers))]
	group["h/1"], group["h/2"], group["h/3"] = file("group"), hardlink("h/1"), hardlink("h/1")
	group["h/4"], group["h/5"] = symlink("1"), hardlink("h/4")
	return layers
}

// addRandom adds an entry, unless its place is taken or below a file.
func (tr tree) addRandom(r *rand.Rand, layer int) {
	path := randomPath(r)
	for have, e := range tr {
		if have == path || strings.HasPrefix(have, path+"/") || strings.HasPrefix(path, have+"/") &&
			e.typ != unix.S_IFDIR {
			return
		}
	}
	text := fmt.Sprintf("%s of layer %d", path, layer)
	switch r.IntN(10) {
	case 0, 1:
		tr[path] = whiteout()
	case 2:
		tr[path] = opaque()
	case 3:
		tr[path] = directory()
	case 4:
		tr[path] = symlink(text)
	case 5:
		tr[path] = file(text).attr("user.t", text)
	default:
		tr[path] = file(text)
	}
}

// flatten returns what layers show together.
func flatten(layers []tree) tree {
	shown := tree{}
	for _, layer := range slices.Backward(layers) {
		for _, path := range slices.Sorted(maps.Keys(layer)) {
			for i, c := range path {
				if c == '/' {
					shown.put(path[:i], directory())
				}
			}
			shown.put(path, layer[path])
		}
	}
	return shown
}

// put lays an entry of a layer over what the layers below show.
func (tr tree) put(path string, e entry) {
	_, hides := e.xattrs[layerfmt.OpaqueXattr]
	if had, ok := tr[path]; e.typ != unix.S_IFDIR || hides || ok && had.typ != unix.S_IFDIR {
		delete(tr, path)
		maps.DeleteFunc(tr, func(below string, _ entry) bool { return strings.HasPrefix(below, path+"/") })
	}
	if e.typ == unix.S_IFDIR {
		e = directory()
	}
	if e.typ != unix.S_IFCHR {
		tr[path] = e
	}
}
