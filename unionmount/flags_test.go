package unionmount

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAppendOnlyIsRefused checks that no file shows as append-only that can be written.
func TestAppendOnlyIsRefused(t *testing.T) {
	f := newUnion(t, tree{"f": file("f")})
	value := binary.NativeEndian.AppendUint32(nil, flagAppend)
	err := f.at("f", func(n *Node) error { return f.u.Ioctl(n, unix.FS_IOC_SETFLAGS, value) })
	wantErrno(t, "set flags", err, unix.EOPNOTSUPP)
}
