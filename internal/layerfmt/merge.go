package layerfmt

import "golang.org/x/sys/unix"

// Kind is the kind of an entry, as far as a union asks: directories are merged, everything else is not.
type Kind uint8

const (
	Absent    Kind = iota // there is no entry
	File                  // anything but a directory
	Directory             // a directory
)

// KindOf returns the kind of an existing entry with the given st_mode.
func KindOf(mode uint32) Kind {
	if mode&unix.S_IFMT == unix.S_IFDIR {
		return Directory
	}
	return File
}

// Seen is what one layer has at a name. It is all that [Merge] decides by.
type Seen struct {
	Kind     Kind
	Whiteout bool // the entry itself is a whiteout: a device 0:0, or a file with one of WhiteoutXattrs
	Opaque   bool // the directory hides what the layers below have in it: it has an opaque mark, or is a mount point
	Refers   bool // the entry says by a reference, not by its name, where the layers below have the rest of it
	Covered  bool // a whiteout file of the name lies beside the entry, or where there is no entry
}

// Merge is the rule of a union. The layers are asked for a name from the top downwards. found tells whether a layer
// above has shown an entry of that name, which then is a directory. Merge tells whether what this layer has shows, and
// whether the layers below count, too:
//
//   - A whiteout does not show, and hides the name in all layers below.
//   - Where there is no entry, the next layer is asked, unless a whiteout file hides the name.
//   - The first entry shows. Directories of the layers below are merged into a directory; a file below a directory
//     does not show, and ends the search.
//   - Nothing is merged into a file. Nothing is merged by name into a directory that is opaque, that refers to what is
//     below it, or that has a whiteout file beside it.
//
// Some marks take a look at the disk. A caller may leave Opaque and Covered unset at first, and find them out and call
// Merge again only where it said that the layers below count: no mark makes an entry show.
func Merge(found bool, s Seen) (shows, more bool) {
	switch {
	case s.Whiteout:
		return false, false
	case s.Kind == Absent:
		return false, !s.Covered
	case s.Kind == File:
		return !found, false
	}
	return true, !s.Opaque && !s.Refers && !s.Covered
}
