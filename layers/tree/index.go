package tree

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
)

// WriteIndex writes the index of the tree at root, an open directory that nothing changes. It reads the tree on disk,
// which has just been written and so costs no reading, and not the tar. So an index never differs from its tree, and
// the index of an older layer is made in the same way.
func WriteIndex(root *os.File, w io.Writer) error { return writeIndex(root, w, onDisk{}) }

// writeIndex is WriteIndex for a tree that has its xattrs elsewhere.
func writeIndex(root *os.File, w io.Writer, of xattrs) error {
	pool := &beneath.Pool{}
	defer pool.Close()
	buffered := bufio.NewWriterSize(w, 256<<10)
	x := indexer{layerindex.NewWriter(buffered)}
	top, err := pool.Hold(int(root.Fd()))
	if err == nil {
		var e layerindex.Entry
		if e, err = x.root(dir{top, of}); err == nil {
			err = x.Close(e)
		}
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return fmt.Errorf("index %s: %w", root.Name(), err)
	}
	return nil
}

type indexer struct{ *layerindex.Writer }

func (x indexer) root(d dir) (layerindex.Entry, error) {
	e, err := x.describe(d.self())
	if err != nil {
		return e, err
	}
	return e, x.directory(&e, d)
}

// directory sets the entries of the directory e.
func (x indexer) directory(e *layerindex.Entry, d dir) error {
	names, err := d.names(nil)
	if err != nil {
		return err
	}
	entries := make([]layerindex.Entry, 0, len(names))
	var hidden []string // names with a whiteout that is a file with another name
	for _, name := range names {
		if !layerfmt.ReservedName(name) {
			child, err := x.entry(d.child(name))
			if err != nil {
				return err
			}
			entries = append(entries, child)
			continue
		}
		switch kind, of := parseDeletion(name); kind {
		case opaqueMark:
			e.Opaque = true
		case whiteout:
			hidden = append(hidden, of)
		}
	}
	return x.SetDir(e, hide(entries, hidden))
}

// hide adds whiteouts to the entries of a directory. If a directory has one beside it, it hides what is below it.
func hide(entries []layerindex.Entry, hidden []string) []layerindex.Entry {
	if len(hidden) == 0 {
		return entries
	}
	at := map[string]int{}
	for i, e := range entries {
		at[e.Name] = i
	}
	for _, name := range hidden {
		if i, ok := at[name]; ok {
			entries[i].Opaque = entries[i].IsDir()
		} else {
			entries = append(entries, layerindex.Entry{Name: name, Whiteout: true})
		}
	}
	return entries
}

func (x indexer) entry(at location) (layerindex.Entry, error) {
	e, err := x.describe(at)
	if err != nil {
		return e, &os.PathError{Op: "examine", Path: at.String(), Err: err}
	}
	if !e.IsDir() {
		return e, nil
	}
	d, err := at.enter()
	if err != nil {
		return e, err
	}
	defer d.leave()
	return e, x.directory(&e, d)
}

// describe returns what a file on disk stands for.
func (x indexer) describe(at location) (layerindex.Entry, error) {
	st, err := at.stat()
	if err != nil {
		return layerindex.Entry{}, err
	}
	if isWhiteoutStat(&st) {
		return layerindex.Entry{Name: at.name, Whiteout: true}, nil
	}
	e := layerindex.Entry{Name: at.name, Stat: layerfmt.Stat{Mode: st.Mode, Rdev: st.Rdev}, Ino: st.Ino,
		Nlink: uint32(st.Nlink),
		Size:  st.Size, Blocks: st.Blocks, Mtime: st.Mtim, Ctime: st.Ctim}
	if err := describeXattrs(&e, at, &st); err != nil || e.Stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		return e, err
	}
	e.Target, err = at.readLink(&st)
	return e, err
}

// describeXattrs reads the xattrs: those that say what a file stands for, and those that a container sees.
func describeXattrs(e *layerindex.Entry, at location, st *unix.Stat_t) error {
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return nil
	}
	names, err := at.listXattrs()
	if err != nil {
		return err
	}
	for _, disk := range names {
		if disk == layerfmt.DataXattr || disk == layerfmt.RedirectXattr {
			return fmt.Errorf("%s refers to layers below, as only a layer that is written may", disk)
		}
		name, seen := layerfmt.UnescapeXattr(disk)
		if !seen && disk != layerfmt.StatXattr && !slices.Contains(layerfmt.WhiteoutXattrs, disk) &&
			!slices.Contains(layerfmt.OpaqueXattrs, disk) {
			continue
		}
		value, err := at.getXattr(disk)
		if err != nil {
			return err
		}
		switch {
		case seen:
			e.Xattrs = append(e.Xattrs, layerindex.Xattr{Name: name, Value: value})
		case disk == layerfmt.StatXattr:
			if e.Stat, err = layerfmt.Decode(value, st.Mode); err != nil {
				return err
			}
		case slices.Contains(layerfmt.WhiteoutXattrs, disk):
			e.Whiteout = e.Whiteout || kind == unix.S_IFREG && st.Size == 0
		default:
			e.Opaque = e.Opaque || kind == unix.S_IFDIR && value == "y"
		}
	}
	slices.SortFunc(e.Xattrs, func(a, b layerindex.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return nil
}
