package layerindex

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Index is an open index. It may be used by any number of goroutines.
type Index struct {
	data   []byte
	mapped bool
	root   Entry
	// large holds the positions of large blocks whose checksum holds. Blocks of the usual size are not remembered,
	// because that would take as long as verifying them again.
	large sync.Map
}

// largeBlock is the size from which a block is verified only once.
const largeBlock = 64 << 10

// Open opens the index at path. The file may be replaced while it is open, but not changed.
func Open(path string) (*Index, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() < trailerSize || int64(int(info.Size())) != info.Size() {
		return nil, fmt.Errorf("open index %s: %w", path, errCorrupt)
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map index %s into memory: %w", path, err)
	}
	x, err := parse(data)
	if err != nil {
		unix.Munmap(data)
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	x.mapped = true
	return x, nil
}

// parse checks the trailer and reads the root.
func parse(data []byte) (*Index, error) {
	if len(data) < len(magic)+trailerSize || string(data[:len(magic)]) != magic {
		return nil, errCorrupt
	}
	trailer := data[len(data)-trailerSize:]
	body := uint64(len(data) - trailerSize)
	if !sumHolds(trailer) || binary.LittleEndian.Uint64(trailer[8:]) != body {
		return nil, errCorrupt
	}
	if v := binary.LittleEndian.Uint32(trailer[16:]); v != version {
		return nil, fmt.Errorf("it has version %d, not %d", v, version)
	}
	x := &Index{data: data[:body]}
	top, err := x.block(binary.LittleEndian.Uint64(trailer), body)
	if err != nil {
		return nil, err
	}
	if top.Len() != 1 {
		return nil, errCorrupt
	}
	if x.root, err = decodeRecord(top.record(0)); err == nil && (x.root.Name != "" || !x.root.IsDir()) {
		err = errCorrupt
	}
	return x, err
}

// sumHolds tells whether the last four bytes are the checksum of those before.
func sumHolds(b []byte) bool {
	n := len(b) - 4
	return binary.LittleEndian.Uint32(b[n:]) == checksum(b[:n])
}

// Root returns the entry of the root directory.
func (x *Index) Root() Entry { return x.root }

// Close closes the index. Its directories must not be used any more, but entries may.
func (x *Index) Close() error {
	if !x.mapped {
		return nil
	}
	return unix.Munmap(x.data[:cap(x.data)])
}

// Dir is a directory of an index. It does not change. The zero value is no directory.
type Dir struct {
	index *Index
	at    uint64 // position of the block in the index; 0 if there are no entries
	count int
	size  int // of the records
}

// Dir opens the directory e, which was found in parent: the zero Dir for the root.
func (x *Index) Dir(e *Entry, parent Dir) (Dir, error) {
	if !e.IsDir() {
		return Dir{}, unix.ENOTDIR
	}
	if e.dir == 0 {
		return Dir{index: x}, nil
	}
	before := uint64(len(x.data))
	if parent.index != nil {
		before = parent.at
	}
	return x.block(e.dir, before)
}

// block checks the block at a position, which must be before another position.
func (x *Index) block(at, before uint64) (Dir, error) {
	if before > uint64(len(x.data)) || at < uint64(len(magic)) || at >= before || before-at < blockHead+4 {
		return Dir{}, errCorrupt
	}
	rest := x.data[at:before]
	count, size := uint64(binary.LittleEndian.Uint32(rest)), uint64(binary.LittleEndian.Uint32(rest[4:]))
	whole := blockHead + 4*count + size + 4
	if whole > uint64(len(rest)) || !x.verified(at, rest[:whole]) {
		return Dir{}, errCorrupt
	}
	return Dir{index: x, at: at, count: int(count), size: int(size)}, nil
}

// verified tells whether the checksum of the block at a position holds.
func (x *Index) verified(at uint64, block []byte) bool {
	if len(block) < largeBlock {
		return sumHolds(block)
	}
	if _, known := x.large.Load(at); known {
		return true
	}
	if !sumHolds(block) {
		return false
	}
	x.large.Store(at, true)
	return true
}

// Known tells whether d is a directory at all.
func (d Dir) Known() bool { return d.index != nil }

// Len returns the number of entries.
func (d Dir) Len() int { return d.count }

// record returns the bytes from record i on; none if the position is wrong.
func (d Dir) record(i int) []byte {
	b := d.index.data[d.at+blockHead:]
	from := int(binary.LittleEndian.Uint32(b[4*i:]))
	records := b[4*d.count : 4*d.count+d.size]
	if from > len(records) {
		return nil
	}
	return records[from:]
}

// name returns the name in record i. It points into the index.
func (d Dir) name(i int) ([]byte, error) {
	record := decoder{b: d.record(i)}
	name := record.bytes()
	if record.err == nil && !validName(name) {
		record.err = errCorrupt
	}
	return name, record.err
}

// Lookup returns the entry of a name.
func (d Dir) Lookup(name string) (e Entry, found bool, err error) {
	low, high := 0, d.count
	for low < high {
		middle := int(uint(low+high) / 2)
		here, err := d.name(middle)
		if err != nil {
			return Entry{}, false, err
		}
		switch {
		case string(here) == name:
			e, err = decodeRecord(d.record(middle))
			return e, err == nil, err
		case string(here) < name:
			low = middle + 1
		default:
			high = middle
		}
	}
	return Entry{}, false, nil
}

// Names calls f with all names, also of whiteouts, in order.
func (d Dir) Names(f func(name string)) error {
	for i := range d.count {
		name, err := d.name(i)
		if err != nil {
			return err
		}
		f(string(name))
	}
	return nil
}

// Each calls f with all names, in order, and whether they are directories, until f returns false.
func (d Dir) Each(f func(name string, isDir bool) bool) error {
	for i := range d.count {
		record := decoder{b: d.record(i)}
		name := record.bytes()
		bits := record.byte()
		isDir := bits&hasWhiteout == 0 && record.uint32()&unix.S_IFMT == unix.S_IFDIR
		if record.err != nil || !validName(name) {
			return errCorrupt
		}
		if !f(string(name), isDir) {
			return nil
		}
	}
	return nil
}
