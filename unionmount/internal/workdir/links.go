package workdir

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"golang.org/x/sys/unix"
)

// Key names a backing file. The layer is part of it because layers may overlap.
type Key struct {
	Layer int // layer.depth
	Ino   uint64
}

// GroupXattr is set on the copy of a lower file that has several names; its value is a linkGroup.
const GroupXattr = "user.rcrun.group"

// HiddenSuffix ends the name of the index entry that counts the names of a lower file that are gone.
const HiddenSuffix = ".hidden"

// Hidden are names of a lower file that are gone. The last to go changed the ctime, which the lower file cannot be
// given.
type Hidden struct {
	Names uint32
	Last  unix.Timespec // zero if nothing is to be seen of it any more
}

// Group is what keeps the names of a lower file together after it was copied up: an entry in the index, found by
// the lower file, that is one more hard link of the copy.
type Group struct {
	Lower Key    // the lower file
	Left  uint32 // names that only the lower has
	// Fleeting is a group of what carries no xattrs on disk: it has no entry in the index, and lives as long as its
	// node.
	Fleeting bool
}

// IndexName returns the name of the index entry of a lower file.
func (k Key) IndexName() string { return layerfmt.LinkName(k.Layer, k.Ino) }

func (g *Group) Encode() string {
	return fmt.Sprintf("%d:%d:%d", g.Lower.Layer, g.Lower.Ino, g.Left)
}

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

// Nlink returns the number of names, given the link count of the copy, of which one is the index entry's.
func (g *Group) Nlink(backing uint32) uint32 {
	if g.Fleeting {
		return backing + g.Left
	}
	return backing - min(1, backing) + g.Left
}

// HiddenNames returns what names of a lower file are gone.
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

// HeldName returns the name in the index under which a link that was replaced goes on to exist, so that no other file
// gets the inode number that its replacement shows.
func HeldName(ino uint64) string { return "ino-" + strconv.FormatUint(ino, 10) }

// IsNote tells whether a file of the index stands for no copy, but is a note: of hidden names, or of an origin.
func IsNote(name string) bool {
	return strings.HasSuffix(name, HiddenSuffix) || strings.HasPrefix(name, CopyPrefix)
}
