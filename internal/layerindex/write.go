package layerindex

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"
)

const (
	magic       = "rcindex\n"
	version     = 1
	trailerSize = 24
	blockHead   = 8 // of a block, before the positions
)

// Writer writes an index: each directory after all of its subdirectories.
type Writer struct {
	w    io.Writer
	size uint64 // of what was written
	err  error  // the error of the first write that failed
}

// NewWriter starts an index.
func NewWriter(w io.Writer) *Writer {
	x := &Writer{w: w}
	x.write([]byte(magic))
	return x
}

// SetDir writes the entries of the directory e, which may be in any order. No two may have the same name.
func (x *Writer) SetDir(e *Entry, entries []Entry) error {
	if len(entries) == 0 {
		return x.err
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	at, err := x.block(entries)
	e.dir = at
	return err
}

// Close writes the root, whose entries were set before, and ends the index. The underlying writer stays open.
func (x *Writer) Close(root Entry) error {
	root.Name = ""
	at, err := x.block([]Entry{root})
	if err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint64(nil, at)
	b = binary.LittleEndian.AppendUint64(b, x.size)
	b = binary.LittleEndian.AppendUint32(b, version)
	x.write(appendSum(b))
	return x.err
}

func (x *Writer) block(entries []Entry) (at uint64, err error) {
	var records, positions []byte
	for i := range entries {
		positions = binary.LittleEndian.AppendUint32(positions, uint32(len(records)))
		records = appendRecord(records, &entries[i])
		if len(records) > math.MaxUint32 {
			return 0, errors.New("write index: a directory has too many entries")
		}
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(entries)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(records)))
	b = append(append(b, positions...), records...)
	at = x.size
	x.write(appendSum(b))
	return at, x.err
}

func (x *Writer) write(b []byte) {
	if x.err != nil {
		return
	}
	n, err := x.w.Write(b)
	x.size += uint64(n)
	if err != nil {
		x.err = fmt.Errorf("write index: %w", err)
	}
}

func appendSum(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, checksum(b)) }

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
