package layerfmt

import (
	"fmt"
	"strconv"
	"strings"
)

// These xattrs make an entry of a writable layer refer to files of the layers below, so that changing a file's
// metadata or a directory's name copies no data. [Below.Encode] returns their values. They count only in the layer
// that the union filesystem writes, and as long as there are any, that layer must keep the same lower layers. A
// program that reads such a layer without the layers below must refuse it.
const (
	// DataXattr is set on a regular file whose data is in a file below. The file itself is a hole of the same size.
	DataXattr = "user.rcrun.data"
	// RedirectXattr is set on a directory that names the directories below that are merged into it, because they do
	// not have its present name. The directory is also opaque, for readers that do not know this xattr.
	RedirectXattr = "user.rcrun.redirect"
)

// Below names one path in some of the layers below a writable one.
type Below struct {
	// Layers are numbers of layers, the nearest first. The lowest layer of all has number 1, so that a number holds
	// when a layer is put in between.
	Layers []int
	Path   string // from the layer's root: no component is empty, "." or ".."
}

// maxLayer bounds the numbers of layers, so that the value of an xattr cannot take any amount of memory.
const maxLayer = 1 << 16

// Encode returns "LAYERS:PATH", where LAYERS are numbers and runs of them, as in "7,4-2".
func (b Below) Encode() string {
	var text strings.Builder
	for i := 0; i < len(b.Layers); {
		last := i
		for last+1 < len(b.Layers) && b.Layers[last+1] == b.Layers[last]-1 {
			last++
		}
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(strconv.Itoa(b.Layers[i]))
		if last > i {
			text.WriteString("-" + strconv.Itoa(b.Layers[last]))
		}
		i = last + 1
	}
	return text.String() + ":" + b.Path
}

// DecodeBelow reads what Encode returns. Any other form is an error.
func DecodeBelow(value string) (Below, error) {
	numbers, path, ok := strings.Cut(value, ":")
	if !ok || !isPlainPath(path) {
		return Below{}, fmt.Errorf("reference to layers below %q: want LAYERS:PATH", value)
	}
	b := Below{Path: path}
	for run := range strings.SplitSeq(numbers, ",") {
		first, last, isRun := strings.Cut(run, "-")
		if !isRun {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 31)
		to, err2 := strconv.ParseUint(last, 10, 31)
		if err1 != nil || err2 != nil || from > maxLayer || to < 1 || to > from || !b.isBelowAll(int(from)) {
			return Below{}, fmt.Errorf("reference to layers below %q: bad layers", value)
		}
		for n := int(from); n >= int(to); n-- {
			b.Layers = append(b.Layers, n)
		}
	}
	return b, nil
}

// isBelowAll tells whether a layer is below all layers that b names.
func (b Below) isBelowAll(n int) bool { return len(b.Layers) == 0 || n < b.Layers[len(b.Layers)-1] }

func isPlainPath(path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsRune(name, 0) {
			return false
		}
	}
	return true
}
