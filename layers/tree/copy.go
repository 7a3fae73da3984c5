package tree

import (
	"archive/tar"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Copy is the tree of a container that began as a copy of its image's.
type Copy struct {
	Tree
	// Of is the tree of the image; none for a container without an image.
	Of Lowers
	// Between are trees of what was put into the copy besides. It does not count as the container's.
	Between Lowers
}

// Changes lists what the container has changed, sorted by path.
func (c Copy) Changes(ctx context.Context) ([]Change, error) {
	all, err := Compare(ctx, Lowers{c.Tree}, c.Of)
	if err != nil {
		return nil, err
	}
	pool := &beneath.Pool{}
	defer pool.Close()
	own := ownChanges{}
	if own.now, err = openFinder(pool, Lowers{c.Tree}); err == nil {
		own.image, err = openFinder(pool, c.Of)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range c.Between {
		f, err := openFinder(pool, Lowers{t})
		if err != nil {
			return nil, err
		}
		own.between = append(own.between, f)
	}
	return own.filter(all), nil
}

func openFinder(pool *beneath.Pool, l Lowers) (*finder, error) {
	s, err := l.open(pool)
	return newFinder(s), err
}

// ownChanges leaves out what lies between, and directories that are listed only because of that.
type ownChanges struct {
	now, image *finder
	between    []*finder
}

func (o ownChanges) filter(all []Change) []Change {
	needed := map[string]bool{} // directories of what is left
	var own []Change
	for _, c := range slices.Backward(all) { // a directory after what is in it
		if needed[c.Path] || !o.isBetween(c) {
			own = append(own, c)
			needed[filepath.Dir(c.Path)] = true
		}
	}
	slices.Reverse(own)
	return own
}

// isBetween tells whether a change is not the container's: the file is as it was put there, or it is a directory as the
// image has it.
func (o ownChanges) isBetween(c Change) bool {
	name := strings.TrimPrefix(c.Path, "/")
	switch c.Kind {
	case Added:
		return slices.ContainsFunc(o.between, func(f *finder) bool { return alike(f, o.now, name) })
	case Modified:
		st, ok := o.now.lookup(strings.Split(name, "/"))
		return ok && st.Mode&unix.S_IFMT == unix.S_IFDIR && alike(o.image, o.now, name)
	}
	return false
}

// alike tells whether two trees have files of the same type, permissions and owner by a name; regular files must also
// be empty. What is in directories does not count.
func alike(a, b *finder, name string) bool {
	x, ok := lookIn(a, name)
	y, found := lookIn(b, name)
	if !ok || !found || x.stat != y.stat {
		return false
	}
	switch x.stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return true
	case unix.S_IFREG:
		return x.size == 0 && y.size == 0
	case unix.S_IFLNK:
		return x.link == y.link
	}
	return false
}

func lookIn(f *finder, name string) (feature, bool) {
	_, paths, ok := f.find(strings.Split(name, "/"))
	if !ok {
		return feature{}, false
	}
	st, err := paths[0].stat()
	if err != nil {
		return feature{}, false
	}
	is, err := featureOf(item{name: name, location: paths[0], st: st})
	return is, err == nil
}

// Size returns the sum of the sizes in bytes of the regular files that the container has added or changed, each inode
// once.
func (c Copy) Size(ctx context.Context) (size int64, err error) {
	changes, err := Compare(ctx, Lowers{c.Tree}, c.Of)
	if err != nil {
		return 0, err
	}
	pool := &beneath.Pool{}
	defer pool.Close()
	now, err := openFinder(pool, Lowers{c.Tree})
	if err != nil {
		return 0, err
	}
	seen := map[inode]bool{}
	for _, change := range changes {
		_, paths, ok := now.find(strings.Split(strings.TrimPrefix(change.Path, "/"), "/"))
		if !ok {
			continue
		}
		st, err := paths[0].stat()
		if id := (inode{st.Dev, st.Ino}); err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && !seen[id] {
			seen[id] = true
			size += st.Size
		}
	}
	return size, nil
}

// Pack writes what the container has changed as a tar in the form of an image layer, as the function Pack does.
func (c Copy) Pack(ctx context.Context, w io.Writer) error {
	changes, err := c.Changes(ctx)
	if err != nil {
		return err
	}
	v, err := newView(c.Tree, nil, Writable{})
	if err != nil {
		return err
	}
	defer v.close()
	changed := map[string]bool{}
	for _, change := range changes {
		changed[strings.TrimPrefix(change.Path, "/")] = change.Kind != Deleted
	}
	p := &packer{view: v, tw: tar.NewWriter(w), first: map[inode]string{}, dirs: map[string]bool{"": true}}
	err = v.walkUnion(func(it item) error {
		if !changed[it.name] {
			return nil
		}
		return p.item(it)
	})
	for _, change := range changes {
		if err == nil && change.Kind == Deleted {
			dir, base := filepath.Split(change.Path[1:])
			err = p.mark(dir+layerfmt.WhiteoutPrefix+base, &unix.Stat_t{})
		}
	}
	if err != nil {
		return err
	}
	return p.tw.Close()
}
