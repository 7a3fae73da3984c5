package tree

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Bounds of names. The kernel takes a component, and the target of a link, of no more bytes. A path as a whole can be
// longer than one system call takes, because it is walked component by component. It has a bound because of the memory
// that all names of a tree take together.
const (
	maxComponent = 255
	maxPath      = 4095
	maxName      = 32 << 10
)

// MaxDepth is how deep names may be, whatever the limits are: as deep as a container can make them.
const MaxDepth = 4096

// aufsNames are what early versions of docker, on aufs, left in images.
var aufsNames = []string{".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk"}

var (
	errDotDot   = errors.New(`name contains ".."`)
	errReserved = errors.New("name begins with " + layerfmt.WhiteoutPrefix + ", which marks deletions")
)

// splitName returns the components of an entry's name, relative to the root of the tree however it is written ("./a",
// "/a", "a/"). The root itself has none. A component that marks a deletion may only come last.
func splitName(name string) ([]string, error) {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return nil, errDotDot
		case len(hiddenBy(part)) > maxComponent:
			return nil, fmt.Errorf("component of %d bytes is longer than %d", len(part), maxComponent)
		case strings.ContainsRune(part, 0):
			return nil, errors.New("name contains a NUL")
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return nil, nil
	}
	last := len(parts) - 1
	if slices.ContainsFunc(parts[:last], layerfmt.ReservedName) {
		return nil, errReserved
	}
	return parts, checkPath(append(parts[:last:last], hiddenBy(parts[last])))
}

// hiddenBy returns the name that a whiteout hides, or the name itself if it is not a whiteout: bounds are about files,
// and a whiteout is not one.
func hiddenBy(name string) string { return strings.TrimPrefix(name, layerfmt.WhiteoutPrefix) }

// checkPath refuses components of a file's path that exceed the bounds together.
func checkPath(parts []string) error {
	if len(parts) > MaxDepth {
		return fmt.Errorf("name is %d levels deep, more than %d", len(parts), MaxDepth)
	}
	if n := len(strings.Join(parts, "/")); n > maxName {
		return fmt.Errorf("name of %d bytes is longer than %d", n, maxName)
	}
	return nil
}

// deletion is what the last component of an entry's name says about the layers below.
type deletion int

const (
	noDeletion  deletion = iota
	opaqueMark           // hide all that the layers below have in this directory
	whiteout             // hide one name
	ignoredMark          // bookkeeping of another filesystem, without a meaning for images
	badMark              // would hide the directory itself, nothing, or a mark
)

// parseDeletion tells what the last component of a name marks and, for a whiteout, which name it hides.
func parseDeletion(base string) (kind deletion, hidden string) {
	rest, ok := strings.CutPrefix(base, layerfmt.WhiteoutPrefix)
	switch {
	case !ok:
		return noDeletion, ""
	case base == layerfmt.OpaqueMarker:
		return opaqueMark, ""
	case slices.Contains(aufsNames, base):
		return ignoredMark, ""
	case rest == "" || rest == "." || rest == ".." || layerfmt.ReservedName(rest):
		return badMark, ""
	}
	return whiteout, rest
}
