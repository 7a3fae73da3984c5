package layerfmt

import (
	"strconv"
	"strings"
)

// LinkIndex is the directory, in the work directory of a writable layer, that keeps the names of lower files
// together. If a lower file with several names was copied into the writable layer, a link of the copy is there under
// its LinkName, and all names that only the layer below has mean the copy.
const LinkIndex = "index"

// LinkName returns the name, in the LinkIndex, of a lower file: the number of its layer, counted as by Below, and its
// inode number on disk.
func LinkName(layer int, ino uint64) string {
	return strconv.Itoa(layer) + "-" + strconv.FormatUint(ino, 10)
}

// ParseLinkName reads what LinkName returns. ok is false for other names, which are in the index, too.
func ParseLinkName(name string) (layer int, ino uint64, ok bool) {
	number, rest, _ := strings.Cut(name, "-")
	n, err1 := strconv.ParseUint(number, 10, 31)
	ino, err2 := strconv.ParseUint(rest, 10, 64)
	if err1 != nil || err2 != nil || n == 0 || LinkName(int(n), ino) != name {
		return 0, 0, false
	}
	return int(n), ino, true
}
