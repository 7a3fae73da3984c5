package tree

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Writable is what else there is to know of a container's layer, besides its tree and the Lowers.
type Writable struct {
	// Hidden is how many of the Lowers, the nearest, belong to the container and not to its image. What they have does
	// not count as being below.
	Hidden int
	// Links is the layer's layerfmt.LinkIndex; "" for none.
	Links string
}

// view is a stack of layers with the layer of a container on top.
type view struct {
	pool   *beneath.Pool
	top    dir // the root of the layer's tree
	lowers stack
	hidden int
	links  links
	copies dir     // of the links
	below  *finder // in the image
	union  *finder // in all
}

// newView opens a tree and those below it. The caller must close the view.
func newView(t Tree, l Lowers, w Writable) (view, error) {
	v := view{pool: &beneath.Pool{}, hidden: w.Hidden}
	var err error
	if v.top, err = t.open(v.pool); err == nil {
		v.lowers, err = l.open(v.pool)
	}
	if err == nil {
		err = v.readLinks(w.Links)
	}
	if err != nil {
		v.close()
		return view{}, err
	}
	v.below, v.union = newFinder(v.image()), newFinder(v.all())
	return v, nil
}

func (v view) close() {
	if v.top.xattrs != nil {
		v.top.xattrs.close()
	}
	v.lowers.close()
	v.pool.Close()
}

// all returns the tree and the lowers.
func (v view) all() stack { return append(stack{v.top}, v.lowers...) }

// image returns the lowers that count as being below.
func (v view) image() stack { return v.lowers[v.hidden:] }

// links are the names of the copies of lower files with several names, by the lower file. A name that only the lower
// layer has means the copy, too.
type links map[lowerFile]string

type lowerFile struct {
	layer int // counted as by layerfmt.Below
	ino   uint64
}

// readLinks reads an index of links. A missing index is empty: the first mount makes it.
func (v *view) readLinks(index string) error {
	if index == "" {
		return nil
	}
	root, err := v.pool.Open(index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	v.links, v.copies = links{}, dir{root, v.top.xattrs}
	names, err := v.copies.names(nil)
	for _, name := range names {
		if layer, ino, ok := layerfmt.ParseLinkName(name); ok {
			v.links[lowerFile{layer, ino}] = name
		}
	}
	return err
}

// follow replaces what a name has on disk by the copy that the name means, if it means one.
func (v view) follow(it *item) error {
	if len(v.links) == 0 || it.st.Nlink < 2 || it.st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	name, ok := v.links[lowerFile{v.lowers.number(it.location), it.st.Ino}]
	if !ok {
		return nil
	}
	it.location = v.copies.child(name)
	var err error
	it.st, err = it.stat()
	return err
}

// untouched returns the names that mean a copy and that the tree does not have, sorted: for a reader of the tree alone,
// they would still be the file as it was. It searches the layers of such files for them.
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
func (v view) namesOfCopies(lower dir) (found []item, err error) {
	err = each(lower, func(at location, st *unix.Stat_t) error {
		it := item{name: at.path(), location: at, st: *st}
		if err := v.follow(&it); err != nil || it.location == at {
			return err
		}
		_, shown, _ := v.union.find(strings.Split(it.name, "/"))
		if len(shown) > 0 && v.lowers.number(shown[0]) == v.lowers.number(at) {
			found = append(found, it)
		}
		return nil
	})
	return found, err
}
