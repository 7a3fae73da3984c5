package tree

import (
	"archive/tar"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
)

// ErrTooLarge is the error of a tar that exceeds the limits. Its class is errdefs.ErrInvalidArgument, because the fault
// is in the tar.
var ErrTooLarge = fault.Errorf(errdefs.ErrInvalidArgument, "the layer is too large")

// Limits bound what one tar can make a host spend: a well compressed stream can unpack to a thousand times its size.
// DefaultLimits has what zero stands for.
//
// Names have bounds besides: 32 KiB in all, what the kernel takes for a component, and 1 MiB for the whole metadata of
// an entry, which the reader of tars allows.
type Limits struct {
	// Bytes is how many bytes of content all files may have together.
	Bytes int64
	// Entries bounds the number of inodes, and the memory for remembering directories.
	Entries int
	// Depth is how many directories deep a name may be, MaxDepth at most.
	Depth int
	// Xattrs is how many bytes the names and values of an entry's xattrs may have. Linux lists no more than 64 KiB of
	// names.
	Xattrs int
}

// DefaultLimits are far beyond the largest images in use, which have about a million files and some 50 GiB.
func DefaultLimits() Limits {
	return Limits{Bytes: 200 << 30, Entries: 5_000_000, Depth: MaxDepth, Xattrs: 256 << 10}
}

// OrDefaults returns the limits, with those of DefaultLimits in place of zeros.
func (l Limits) OrDefaults() Limits {
	d := DefaultLimits()
	if l.Bytes > 0 {
		d.Bytes = l.Bytes
	}
	if l.Entries > 0 {
		d.Entries = l.Entries
	}
	if l.Depth > 0 {
		d.Depth = min(l.Depth, MaxDepth)
	}
	if l.Xattrs > 0 {
		d.Xattrs = l.Xattrs
	}
	return d
}

// check checks an entry, which comes after files of the given size, before anything is made of it.
func (l Limits) check(hdr *tar.Header, size int64) error {
	if hdr.Size < 0 || hdr.Size > l.Bytes-size {
		return fmt.Errorf("%w: its files have more than %d bytes", ErrTooLarge, l.Bytes)
	}
	xattrs := 0
	for key, value := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(key, paxXattr); ok {
			xattrs += len(name) + len(value)
		}
	}
	if xattrs > l.Xattrs {
		return fmt.Errorf("%w: the xattrs of one file have more than %d bytes", ErrTooLarge, l.Xattrs)
	}
	return nil
}
