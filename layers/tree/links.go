package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Writable says what there is to know of a container's layer beside its tree and the Lowers.
type Writable struct {
	// Hidden is how many of the Lowers, the nearest, belong to the container and not to its image: what they have does
	// not count as being below.
	Hidden int
	// Links is the layer's layerfmt.LinkIndex; "" for none.
	Links string
}

// view is a stack as a container's layer is read against it.
type view struct {
	top    location // the root of the layer's tree
	lowers stack
	hidden int
	links  links
}

// newView opens a tree and those below it, to be closed again.
func newView(t Tree, l Lowers, w Writable) (view, error) {
	top, err := t.open()
	if err != nil {
		return view{}, err
	}
	lowers, err := l.open()
	if err != nil {
		top.xattrs.close()
		return view{}, err
	}
	v := view{top: top, lowers: lowers, hidden: w.Hidden}
	if v.links, err = readLinks(w.Links); err != nil {
		v.close()
		return view{}, err
	}
	return v, nil
}

func (v view) close() {
	v.top.xattrs.close()
	v.lowers.close()
}

// all returns the tree and the lowers.
func (v view) all() stack { return append(stack{v.top}, v.lowers...) }

// image returns the lowers that count as being below.
func (v view) image() stack { return v.lowers[v.hidden:] }

// links are the copies of lower files with several names, by the lower file: the names that only the lower has mean the
// copy, too.
type links map[lowerFile]string

type lowerFile struct {
	layer int // counted as by layerfmt.Below
	ino   uint64
}

// readLinks reads an index. One that is not there is empty: it is made with the first mount.
func readLinks(index string) (links, error) {
	if index == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	copies := links{}
	for _, e := range entries {
		if layer, ino, ok := layerfmt.ParseLinkName(e.Name()); ok {
			copies[lowerFile{layer, ino}] = filepath.Join(index, e.Name())
		}
	}
	return copies, err
}

// follow replaces what a name has on disk by the copy that it means, if it does.
func (v view) follow(it *item) error {
	if len(v.links) == 0 || it.st.Nlink < 2 || it.st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	path, ok := v.links[lowerFile{v.lowers.number(it.path), it.st.Ino}]
	if !ok {
		return nil
	}
	it.location = location{path: path, xattrs: v.top.xattrs}
	var err error
	it.st, err = it.stat()
	return err
}

// number returns the number of the layer that path is in, counted as by layerfmt.Below; 0 if it is in none.
func (l stack) number(path string) int {
	i := slices.IndexFunc(l, func(root location) bool { return strings.HasPrefix(path, root.path+"/") })
	if i < 0 {
		return 0
	}
	return len(l) - i
}

// untouched returns the names that mean a copy and that the tree does not have, sorted: to whoever looks at the
// tree alone, they would still be the file as it was. The layers of such files are searched through for them.
func (v view) untouched() ([]item, error) {
	var found []item
	searched := map[int]bool{}
	for file := range v.links {
		if searched[file.layer] || file.layer > len(v.image()) {
			continue
		}
		searched[file.layer] = true
		names, err := v.namesOfCopies(v.lowers[len(v.lowers)-file.layer])
		if err != nil {
			return nil, err
		}
		found = append(found, names...)
	}
	slices.SortFunc(found, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

// namesOfCopies returns the names in one lower layer that mean a copy, and that nothing above hides or replaces.
func (v view) namesOfCopies(lower location) (found []item, err error) {
	all := v.all()
	err = filepath.WalkDir(lower.path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, lower.path+"/")
		it := item{name: name, location: location{path, name, lower.xattrs}}
		if it.st, err = it.stat(); err != nil {
			return err
		}
		if err := v.follow(&it); err != nil || it.path == path {
			return err
		}
		if _, shown, _ := all.find(strings.Split(it.name, "/")); len(shown) > 0 && shown[0].path == path {
			found = append(found, it)
		}
		return nil
	})
	return found, err
}
