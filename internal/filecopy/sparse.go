package filecopy

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

var zeroBlock [oneBlock]byte

// Fill writes the data of r into an empty file, in pieces of the size of buf, which must be a multiple of 4,096
// bytes. Blocks of zeros become holes. It returns the size of the file.
func Fill(fd int, r io.Reader, buf []byte) (size int64, err error) {
	written := int64(0) // the end of the last block that was written
	for {
		n, err := io.ReadFull(r, buf)
		end, failure := writeData(fd, buf[:n], size)
		if failure != nil {
			return size, failure
		}
		size, written = size+int64(n), max(written, end)
		switch {
		case err == nil:
			continue
		case err != io.EOF && err != io.ErrUnexpectedEOF:
			return size, err
		case written < size:
			return size, unix.Ftruncate(fd, size)
		}
		return size, nil
	}
}

// writeData writes the blocks of data that are not all zeros to their places from offset on. It returns the end of
// the last one; 0 if there are none.
func writeData(fd int, data []byte, offset int64) (end int64, err error) {
	for len(data) > 0 {
		run := runOf(data, true)
		if run > 0 {
			if err := WriteAll(fd, data[:run], offset); err != nil {
				return end, err
			}
			end = offset + int64(run)
		} else {
			run = runOf(data, false)
		}
		data, offset = data[run:], offset+int64(run)
	}
	return end, nil
}

// runOf returns the size of the run of blocks at the beginning of data that are all zeros, or that are not.
func runOf(data []byte, hold bool) int {
	n := 0
	for n < len(data) {
		block := data[n:min(n+oneBlock, len(data))]
		if bytes.Equal(block, zeroBlock[:len(block)]) == hold {
			break
		}
		n += len(block)
	}
	return n
}

// Reader reads a file of a given size from its beginning. It returns holes as zeros without reading them. A file that
// grows is read up to that size. If the file shrinks, the error is io.ErrUnexpectedEOF.
type Reader struct {
	file       *os.File
	offset     int64 // of the next byte
	start, end int64 // of the data at or after offset
	size       int64
}

// NewReader returns a Reader of the first size bytes of file. The caller closes the file.
func NewReader(file *os.File, size int64) *Reader {
	r := &Reader{file: file, size: size}
	if size <= oneBlock {
		r.end = size // reading it costs less than looking for holes
	}
	return r
}

// Read reads either data or zeros in one call.
func (r *Reader) Read(p []byte) (int, error) {
	if r.offset >= r.size {
		return 0, io.EOF
	}
	if r.offset >= r.end {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	if r.offset < r.start {
		n := int(min(int64(len(p)), r.start-r.offset))
		clear(p[:n])
		r.offset += int64(n)
		return n, nil
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), r.end-r.offset)], r.offset)
	r.offset += int64(n)
	if n > 0 {
		return n, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// next looks for the next data. If the file has become too short, the kernel says that there is none.
func (r *Reader) next() (err error) {
	if r.start, r.end, err = NextData(int(r.file.Fd()), r.offset, r.size); err != nil {
		return &os.PathError{Op: "look for data in", Path: r.file.Name(), Err: err}
	}
	if r.start < r.size {
		return nil
	}
	st, err := r.file.Stat()
	if err == nil && st.Size() < r.size {
		err = io.ErrUnexpectedEOF
	}
	return err
}
