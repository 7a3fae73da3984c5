package layerindex

import (
	"encoding/binary"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// Entry is what a layer has at a name.
type Entry struct {
	Name string // empty for the root
	// Whiteout says that the name is deleted from the layers below. The other fields of a whiteout are not set.
	Whiteout bool
	// Opaque says that the directory hides the directories of its name in the layers below.
	Opaque bool
	// Stat is the owner, mode and device as a container sees them.
	Stat layerfmt.Stat
	// The following fields are of the file on disk.
	Ino    uint64
	Nlink  uint32
	Size   int64
	Blocks int64 // of 512 bytes
	Mtime  unix.Timespec
	Ctime  unix.Timespec
	Target string  // of a symbolic link
	Xattrs []Xattr // that a container sees, sorted by name

	dir uint64 // position of the block of a directory; 0 if it is empty
}

// IsDir tells whether the entry is a directory.
func (e *Entry) IsDir() bool { return !e.Whiteout && e.Stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// Xattr is an extended attribute by the name that a container sees.
type Xattr struct {
	Name  string
	Value string
}

// The bits that a record has after its name.
const (
	hasWhiteout = 1 << iota // and nothing more follows
	hasOpaque
	hasRdev
	hasDir
	hasTarget
	hasXattrs
	allBits = 1<<iota - 1
)

// errCorrupt is the error of bytes that no index can contain.
var errCorrupt = errors.New("the index is corrupt")

// appendRecord appends the record of e: name, bits, then as varints mode, uid, gid, ino, nlink, size, blocks, mtime and
// ctime (seconds, nanoseconds), and what the bits tell. A string is its length and its bytes.
func appendRecord(b []byte, e *Entry) []byte {
	b = appendString(b, e.Name)
	b = append(b, e.bits())
	if e.Whiteout {
		return b
	}
	for _, n := range []uint64{uint64(e.Stat.Mode), uint64(e.Stat.UID), uint64(e.Stat.GID), e.Ino, uint64(e.Nlink),
		uint64(e.Size), uint64(e.Blocks)} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendTime(appendTime(b, e.Mtime), e.Ctime)
	if e.Stat.Rdev != 0 {
		b = binary.AppendUvarint(b, e.Stat.Rdev)
	}
	if e.dir != 0 {
		b = binary.AppendUvarint(b, e.dir)
	}
	if e.Target != "" {
		b = appendString(b, e.Target)
	}
	if len(e.Xattrs) > 0 {
		b = binary.AppendUvarint(b, uint64(len(e.Xattrs)))
		for _, x := range e.Xattrs {
			b = appendString(appendString(b, x.Name), x.Value)
		}
	}
	return b
}

func (e *Entry) bits() (bits byte) {
	set := func(bit byte, when bool) {
		if when {
			bits |= bit
		}
	}
	set(hasWhiteout, e.Whiteout)
	set(hasOpaque, e.Opaque)
	set(hasRdev, e.Stat.Rdev != 0)
	set(hasDir, e.dir != 0)
	set(hasTarget, e.Target != "")
	set(hasXattrs, len(e.Xattrs) > 0)
	return bits
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t unix.Timespec) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Sec), uint64(t.Nsec))
}

// decoder reads a record. After the first error it returns zeros.
type decoder struct {
	b   []byte
	err error
}

// decodeRecord reads the record at the start of b. Its strings do not refer to b.
func decodeRecord(b []byte) (Entry, error) {
	d := decoder{b: b}
	e := Entry{Name: string(d.bytes())}
	bits := d.byte()
	if bits > allBits {
		d.fail()
	}
	e.Whiteout, e.Opaque = bits&hasWhiteout != 0, bits&hasOpaque != 0
	if e.Whiteout || d.err != nil {
		return e, d.err
	}
	e.Stat = layerfmt.Stat{Mode: d.uint32(), UID: d.uint32(), GID: d.uint32()}
	e.Ino, e.Nlink, e.Size, e.Blocks = d.uint64(), d.uint32(), d.size(), d.size()
	e.Mtime, e.Ctime = d.time(), d.time()
	if bits&hasRdev != 0 {
		e.Stat.Rdev = d.uint64()
	}
	if bits&hasDir != 0 {
		e.dir = d.uint64()
	}
	if bits&hasTarget != 0 {
		e.Target = string(d.bytes())
	}
	if bits&hasXattrs != 0 {
		e.Xattrs = d.xattrs()
	}
	if e.Ino == 0 {
		d.fail()
	}
	return e, d.err
}

func (d *decoder) fail() { d.b, d.err = nil, errCorrupt }

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint64() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uint64()
	if v > 1<<32-1 {
		d.fail()
	}
	return uint32(v)
}

func (d *decoder) size() int64 {
	v := int64(d.uint64())
	if v < 0 {
		d.fail()
	}
	return v
}

func (d *decoder) time() unix.Timespec {
	sec, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return unix.Timespec{}
	}
	d.b = d.b[n:]
	nsec := d.uint64()
	if nsec >= 1e9 {
		d.fail()
	}
	return unix.Timespec{Sec: sec, Nsec: int64(nsec)}
}

func (d *decoder) bytes() []byte {
	n := d.uint64()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) xattrs() []Xattr {
	n := d.uint64()
	if n > uint64(len(d.b)) { // each takes at least a byte
		d.fail()
		return nil
	}
	list := make([]Xattr, 0, min(n, 16))
	for range n {
		list = append(list, Xattr{string(d.bytes()), string(d.bytes())})
		if d.err != nil {
			return nil
		}
	}
	return list
}

// validName tells whether name can be a name in a directory.
func validName(name []byte) bool {
	s := string(name)
	return s != "" && s != "." && s != ".." && len(s) <= unix.NAME_MAX && !strings.ContainsAny(s, "/\x00")
}
