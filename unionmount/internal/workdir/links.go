package workdir

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"golang.org/x/sys/unix"
)

// Key names a backing file. The layer is part of the key because layers may overlap.
type Key struct {
	Layer int // the Depth of the layer
	Ino   uint64
}

// GroupXattr is set on the copy of a lower file that has several names; its value is a Group.
const GroupXattr = "user.rcrun.group"

// HiddenSuffix ends the name of the index entry that counts the names of a lower file that are gone.
const HiddenSuffix = ".hidden"

// Hidden counts the names of a lower file that are gone. The last deletion changed the ctime, which cannot be set in
// the lower file.
type Hidden struct {
	Names uint32
	Last  unix.Timespec // zero if it need not show
}

// Group keeps the names of a lower file together after a copy-up. It has an entry in the index, named after the lower
// file, that is one more hard link of the copy.
type Group struct {
	Lower Key    // the lower file
	Left  uint32 // names that only the lower has
	// Fleeting is a group of a file that carries no xattrs on disk. It has no entry in the index, and lives as long
	// as its node.
	Fleeting bool
}

// IndexName returns the name of the index entry of a lower file.
func (k Key) IndexName() string { return layerfmt.LinkName(k.Layer, k.Ino) }

// Encode returns the value of the GroupXattr.
func (g *Group) Encode() string {
	return fmt.Sprintf("%d:%d:%d", g.Lower.Layer, g.Lower.Ino, g.Left)
}

// ParseGroup reads what Encode returns.
func ParseGroup(value string) (*Group, error) {
	fields := strings.Split(value, ":")
	if len(fields) != 3 {
		return nil, fmt.Errorf("%s %q: want layer:inode:names", GroupXattr, value)
	}
	layer, err1 := strconv.ParseUint(fields[0], 10, 31)
	ino, err2 := strconv.ParseUint(fields[1], 10, 64)
	left, err3 := strconv.ParseUint(fields[2], 10, 32)
	if err1 != nil || err2 != nil || err3 != nil || ino == 0 {
		return nil, fmt.Errorf("%s %q: bad number", GroupXattr, value)
	}
	return &Group{Lower: Key{int(layer), ino}, Left: uint32(left)}, nil
}

// Nlink returns the number of names, given the link count of the copy. One of those links is the index entry.
func (g *Group) Nlink(backing uint32) uint32 {
	if g.Fleeting {
		return backing + g.Left
	}
	return backing - min(1, backing) + g.Left
}

// HiddenNames returns the note of the hidden names of a lower file.
func (s *Dir) HiddenNames(k Key) (Hidden, error) {
	name := k.IndexName() + HiddenSuffix
	text, err := beneath.Readlink(s.Index, name)
	if err == unix.ENOENT {
		return Hidden{}, nil
	}
	if err != nil {
		return Hidden{}, err
	}
	count, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return Hidden{}, err
	}
	st, err := beneath.Stat(s.Index, name)
	return Hidden{uint32(count), st.Mtim}, err
}

// HeldName returns the name in the index of a symbolic link that was replaced. It is kept there so that no other file
// gets the inode number that its replacement shows.
func HeldName(ino uint64) string { return "ino-" + strconv.FormatUint(ino, 10) }

// IsNote tells whether a file of the index is a note, of hidden names or of an origin, and not a copy.
func IsNote(name string) bool {
	return strings.HasSuffix(name, HiddenSuffix) || strings.HasPrefix(name, CopyPrefix)
}
