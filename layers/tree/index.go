package tree

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/layerindex"
)

// WriteIndex writes the index of the tree at root, an open directory that nobody changes. It is made of the tree as it is
// on disk, which has just been written and costs no reading, rather than of the tar: so an index never says anything else
// than its tree does, and that of an older layer is made in the same way.
func WriteIndex(root *os.File, w io.Writer) error { return writeIndex(root, w, onDisk{}) }

// writeIndex is WriteIndex for a tree that has its xattrs elsewhere.
func writeIndex(root *os.File, w io.Writer, of xattrs) error {
	buffered := bufio.NewWriterSize(w, 256<<10)
	x := indexer{layerindex.NewWriter(buffered), of}
	top, err := x.root(int(root.Fd()))
	if err == nil {
		err = x.Close(top)
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return fmt.Errorf("index %s: %w", root.Name(), err)
	}
	return nil
}

type indexer struct {
	*layerindex.Writer
	xattrs xattrs
}

func (x indexer) root(fd int) (layerindex.Entry, error) {
	e, err := x.describe(fd, ".", "")
	if err != nil {
		return e, err
	}
	again, err := openDir(fd, ".") // the offset of the caller's descriptor stays
	if err != nil {
		return e, err
	}
	return e, x.directory(&e, again, "")
}

// directory sets the entries of e, the directory behind fd, which it closes. path names it in errors.
func (x indexer) directory(e *layerindex.Entry, fd int, path string) error {
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	entries := make([]layerindex.Entry, 0, len(names))
	var hidden []string // of which there are whiteouts that are files of another name
	for _, name := range names {
		if !layerfmt.ReservedName(name) {
			child, err := x.entry(fd, name, path+"/"+name)
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

// hide adds whiteouts to the entries of a directory. A directory that has one beside it hides what is below it.
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

func (x indexer) entry(dirfd int, name, path string) (layerindex.Entry, error) {
	e, err := x.describe(dirfd, name, path)
	if err != nil {
		return e, &os.PathError{Op: "examine", Path: path, Err: err}
	}
	if !e.IsDir() {
		return e, nil
	}
	fd, err := openDir(dirfd, name)
	if err != nil {
		return e, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return e, x.directory(&e, fd, path)
}

// describe returns what a file on disk stands for. path is that from the root.
func (x indexer) describe(dirfd int, name, path string) (layerindex.Entry, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return layerindex.Entry{}, err
	}
	if isWhiteoutStat(&st) {
		return layerindex.Entry{Name: name, Whiteout: true}, nil
	}
	e := layerindex.Entry{Name: name, Stat: layerfmt.Stat{Mode: st.Mode, Rdev: st.Rdev}, Ino: st.Ino, Nlink: uint32(st.Nlink),
		Size: st.Size, Blocks: st.Blocks, Mtime: st.Mtim, Ctime: st.Ctim}
	// By way of the descriptor, for the path of the tree and of the entry in it may together be too long.
	at := location{procPath(dirfd, name), strings.TrimPrefix(path, "/"), x.xattrs}
	if err := describeXattrs(&e, at, &st); err != nil || e.Stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		return e, err
	}
	var err error
	e.Target, err = readLink(at.path, &st)
	return e, err
}

// procPath is a path of what an open directory has of a name.
func procPath(dirfd int, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(dirfd) + "/" + name
}

// describeXattrs reads the xattrs, those that say what a file stands for and those that a container sees.
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
		if !seen && disk != layerfmt.StatXattr && disk != layerfmt.WhiteoutXattr && !slices.Contains(layerfmt.OpaqueXattrs, disk) {
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
		case disk == layerfmt.WhiteoutXattr:
			e.Whiteout = kind == unix.S_IFREG && st.Size == 0
		default:
			e.Opaque = e.Opaque || kind == unix.S_IFDIR && value == "y"
		}
	}
	slices.SortFunc(e.Xattrs, func(a, b layerindex.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return nil
}
