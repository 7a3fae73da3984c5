package tree

import (
	"context"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Compare lists what the union of the trees now has changed since the union of the trees before, each given with the
// nearest tree first. It reads both unions; for trees that lie on each other, Changes tells the same at less cost. The
// root is not compared.
func Compare(ctx context.Context, now, before Lowers) ([]Change, error) {
	after, err := now.portrait(ctx)
	if err != nil {
		return nil, err
	}
	earlier, err := before.portrait(ctx)
	if err != nil {
		return nil, err
	}
	changed := map[string]ChangeKind{}
	for name, is := range after {
		was, existed := earlier[name]
		if !existed {
			changed[name] = Added
		} else if !is.equal(was) {
			changed[name] = Modified
		}
	}
	for name := range earlier {
		_, exists := after[name]
		dir, dirExists := after[parentOf(name)]
		if !exists && (parentOf(name) == "" || dirExists && dir.stat.Mode&unix.S_IFMT == unix.S_IFDIR) {
			changed[name] = Deleted
		}
	}
	return withParents(changed), nil
}

// withParents lists changes sorted, together with the directories that contain them.
func withParents(changed map[string]ChangeKind) []Change {
	seen := map[string]bool{"": true} // with all parents of its members
	for name := range maps.Clone(changed) {
		for dir := parentOf(name); !seen[dir]; dir = parentOf(dir) {
			seen[dir] = true
			if _, listed := changed[dir]; !listed {
				changed[dir] = Modified
			}
		}
	}
	list := make([]Change, 0, len(changed))
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		list = append(list, Change{"/" + name, changed[name]})
	}
	return list
}

// parentOf returns the directory of a relative name, "" for the root.
func parentOf(name string) string {
	return name[:max(0, strings.LastIndexByte(name, '/'))]
}

// feature is what distinguishes a file from another version of it without reading its data.
type feature struct {
	stat   layerfmt.Stat
	link   string
	size   int64         // of a regular file
	mtime  unix.Timespec // of a regular file, too: that of a directory changes with its content
	xattrs map[string]string
}

func (f feature) equal(other feature) bool {
	return f.stat == other.stat && f.link == other.link && f.size == other.size && f.mtime == other.mtime &&
		maps.Equal(f.xattrs, other.xattrs)
}

// portrait returns all that a union shows except its root, by name.
func (l Lowers) portrait(ctx context.Context) (map[string]feature, error) {
	all := map[string]feature{}
	if len(l) == 0 {
		return all, nil
	}
	v, err := newView(l[0], l[1:], Writable{})
	if err != nil {
		return nil, err
	}
	defer v.close()
	err = v.walkUnion(func(it item) (err error) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if it.name != "" && it.kind == noDeletion {
			all[it.name], err = featureOf(it)
		}
		return err
	})
	return all, err
}

func featureOf(it item) (f feature, err error) {
	if f.stat, err = logicalStat(it.location, &it.st); err != nil {
		return f, err
	}
	if f.xattrs, err = containerXattrs(it.location); err != nil {
		return f, err
	}
	switch f.stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f.size, f.mtime = it.st.Size, it.st.Mtim
	case unix.S_IFLNK:
		f.link, err = it.readLink(&it.st)
	}
	return f, err
}
