package xattrlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// Name is the name of the file in the work directory of the tree.
const Name = "xattrs"

const (
	magic      = "rcxattr\n"
	version    = 1
	headSize   = len(magic) + 4 + 8 + 4
	frameSize  = 8       // of a record, before its content
	maxContent = 1 << 20 // more than the largest name and value
)

// The kinds of records.
const (
	opSet    = 1
	opRemove = 2
	opForget = 3
	opClosed = 4
)

// ErrDamaged is the error of a file that is not a log, or is the log of another tree.
var ErrDamaged = errors.New("the record of owners and xattrs cannot be used")

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func encodeHead(root uint64) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(magic), version)
	b = binary.LittleEndian.AppendUint64(b, root)
	return binary.LittleEndian.AppendUint32(b, checksum(b[len(magic):]))
}

// checkHead returns an error if a file is not the log of the tree with the given root.
func checkHead(b []byte, root uint64) error {
	if len(b) < headSize || string(b[:len(magic)]) != magic {
		return fmt.Errorf("%w: it does not begin like a record", ErrDamaged)
	}
	head := b[len(magic):headSize]
	switch {
	case binary.LittleEndian.Uint32(head[12:]) != checksum(head[:12]):
		return fmt.Errorf("%w: its head is damaged", ErrDamaged)
	case binary.LittleEndian.Uint32(head) != version:
		return fmt.Errorf("%w: it has version %d, not %d", ErrDamaged, binary.LittleEndian.Uint32(head), version)
	case binary.LittleEndian.Uint64(head[4:]) != root:
		return fmt.Errorf("%w: it belongs to another directory, of which this one may be a copy", ErrDamaged)
	}
	return nil
}

// appendRecord appends a record. name and value are used if records of its kind have them.
func appendRecord(b []byte, op byte, ino uint64, name, value string) []byte {
	start := len(b)
	b = append(b, make([]byte, frameSize)...)
	b = binary.AppendUvarint(append(b, op), ino)
	if op == opSet || op == opRemove {
		b = appendString(b, name)
	}
	if op == opSet {
		b = appendString(b, value)
	}
	content := b[start+frameSize:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(content)))
	binary.LittleEndian.PutUint32(b[start+4:], checksum(content))
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// replay applies the records in b, up to the first one that is torn. It returns the size of the records before that,
// and whether the last of them says that the log was closed.
func (r *Records) replay(b []byte) (whole int, closed bool) {
	for {
		rest := b[whole:]
		if len(rest) < frameSize {
			return whole, closed
		}
		size := binary.LittleEndian.Uint32(rest)
		if size > maxContent || uint64(size) > uint64(len(rest)-frameSize) {
			return whole, closed
		}
		content := rest[frameSize:][:size]
		if binary.LittleEndian.Uint32(rest[4:]) != checksum(content) || !r.apply(content) {
			return whole, closed
		}
		closed = content[0] == opClosed
		whole += frameSize + int(size)
	}
}

// apply applies one record. It returns false if the record makes no sense.
func (r *Records) apply(content []byte) bool {
	if len(content) == 0 {
		return false
	}
	d := decoder{content[1:], true}
	ino := d.number()
	switch content[0] {
	case opSet:
		name, value := d.text(), d.text()
		if d.good() {
			r.Set(ino, name, value)
		}
	case opRemove:
		if name := d.text(); d.good() {
			r.Remove(ino, name)
		}
	case opForget:
		if d.good() {
			r.Forget(ino)
		}
	case opClosed:
	default:
		return false
	}
	return d.good()
}

// decoder reads the content of a record. After the first error it returns zeros.
type decoder struct {
	rest  []byte
	whole bool
}

func (d *decoder) good() bool { return d.whole && len(d.rest) == 0 }

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.rest, d.whole = nil, false
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) text() string {
	size := d.number()
	if size > uint64(len(d.rest)) {
		d.rest, d.whole = nil, false
		return ""
	}
	s := string(d.rest[:size])
	d.rest = d.rest[size:]
	return s
}

// Read returns what the log at path says of the tree whose root has the given inode number. Another process may be
// writing to it.
func Read(path string, root uint64) (*Records, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := checkHead(data, root); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r := &Records{}
	r.replay(data[headSize:])
	return r, nil
}
