// Package filecopy copies the data of files at the least cost that the filesystem allows. Layers are made from other
// layers, and files of a union are copied up, without reading the data if that can be avoided.
package filecopy

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

// Copy copies size bytes to an empty file. It shares them if the filesystem can. Otherwise it copies data, and leaves
// holes holes.
func Copy(to, from int, size int64) error {
	if size == 0 {
		return nil
	}
	if unix.IoctlFileClone(to, from) == nil {
		return nil
	}
	if size <= oneBlock {
		return copyBlock(to, from, size)
	}
	if err := unix.Ftruncate(to, size); err != nil {
		return err
	}
	for offset := int64(0); offset < size; {
		start, end, err := NextData(from, offset, size)
		if err != nil {
			return err
		}
		if err := copyRange(to, from, start, end); err != nil {
			return err
		}
		offset = end
	}
	return nil
}

// oneBlock is the least that most filesystems allocate: a file of that size is either data or a hole.
const oneBlock = 4096

// copyBlock copies a file of at most oneBlock. To read and write it takes half of the time of looking for holes and
// letting the kernel copy.
func copyBlock(to, from int, size int64) error {
	buf := make([]byte, size)
	n, err := eintr.Retry(func() (int, error) { return unix.Pread(from, buf, 0) })
	if err != nil {
		return err
	}
	hole := bytes.Count(buf[:n], []byte{0}) == n
	if hole || n < len(buf) { // the file has become shorter: the rest is a hole, too
		err = unix.Ftruncate(to, size)
	}
	if err == nil && !hole {
		err = WriteAll(to, buf[:n], 0)
	}
	return err
}

// NextData returns the bounds of the first data at or after offset; both are size when there is none.
func NextData(fd int, offset, size int64) (start, end int64, err error) {
	start, err = unix.Seek(fd, offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP): // the filesystem knows no holes
		return offset, size, nil
	case err != nil:
		return 0, 0, err
	}
	end, err = unix.Seek(fd, start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, err
	}
	return min(start, size), min(end, size), nil
}

// copyRange copies the bytes from start to end to the same place in the other file.
func copyRange(to, from int, start, end int64) error {
	for start < end {
		readAt, writeAt := start, start
		n, err := eintr.Retry(func() (int, error) {
			return unix.CopyFileRange(from, &readAt, to, &writeAt, int(end-start), 0)
		})
		if n > 0 {
			start += int64(n)
			continue
		}
		if err == nil || isUnsupportedCopy(err) {
			return copyByHand(to, from, start, end)
		}
		return err
	}
	return nil
}

// isUnsupportedCopy tells whether copy_file_range(2) cannot do it, while read and write can.
func isUnsupportedCopy(err error) bool {
	for _, errno := range []error{unix.EXDEV, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM, unix.EIO} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func copyByHand(to, from int, start, end int64) error {
	buf := make([]byte, min(end-start, 1<<20))
	for start < end {
		n, err := eintr.Retry(func() (int, error) {
			return unix.Pread(from, buf[:min(int64(len(buf)), end-start)],
				start)
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return nil // the file became shorter: the rest is a hole
		}
		if err := WriteAll(to, buf[:n], start); err != nil {
			return err
		}
		start += int64(n)
	}
	return nil
}

// WriteAll writes all of data at the offset, in as many calls as that takes.
func WriteAll(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := eintr.Retry(func() (int, error) { return unix.Pwrite(fd, data, offset) })
		if err != nil {
			return err
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}
