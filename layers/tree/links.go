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
	lowers Lowers
	hidden int
	links  links
}

func newView(l Lowers, w Writable) (view, error) {
	read, err := readLinks(w.Links)
	return view{lowers: l, hidden: w.Hidden, links: read}, err
}

// image returns the lowers that count as being below.
func (v view) image() Lowers { return v.lowers[v.hidden:] }

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
	it.path = path
	if err := unix.Lstat(path, &it.st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return nil
}

// number returns the number of the layer that path is in, counted as by layerfmt.Below; 0 if it is in none.
func (l Lowers) number(path string) int {
	i := slices.IndexFunc(l, func(dir string) bool { return strings.HasPrefix(path, dir+"/") })
	if i < 0 {
		return 0
	}
	return len(l) - i
}

// untouched returns the names that mean a copy and that the tree at dir does not have, sorted: to whoever looks at the
// tree alone, they would still be the file as it was. The layers of such files are searched through for them.
func (v view) untouched(dir string) ([]item, error) {
	var found []item
	searched := map[int]bool{}
	for file := range v.links {
		if searched[file.layer] || file.layer > len(v.image()) {
			continue
		}
		searched[file.layer] = true
		names, err := v.namesOfCopies(v.lowers[len(v.lowers)-file.layer], dir)
		if err != nil {
			return nil, err
		}
		found = append(found, names...)
	}
	slices.SortFunc(found, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

// namesOfCopies returns the names in one lower layer that mean a copy, and that nothing above hides or replaces.
func (v view) namesOfCopies(lower, dir string) (found []item, err error) {
	all := append(Lowers{dir}, v.lowers...)
	err = filepath.WalkDir(lower, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		it := item{name: strings.TrimPrefix(path, lower+"/"), path: path}
		if err := unix.Lstat(path, &it.st); err != nil {
			return &os.PathError{Op: "stat", Path: path, Err: err}
		}
		if err := v.follow(&it); err != nil || it.path == path {
			return err
		}
		if _, shown, _ := all.find(strings.Split(it.name, "/")); len(shown) > 0 && shown[0] == path {
			found = append(found, it)
		}
		return nil
	})
	return found, err
}
