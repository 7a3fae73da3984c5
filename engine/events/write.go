package events

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rcrun/rcrun/internal/own"
)

// makeDir makes the directory of a journal, or checks the one that is there. It makes none above: what has been
// removed with all that is in it must not come back.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the directory of events: %w", err)
	}
	if err := own.CheckDir(dir); err != nil {
		return fmt.Errorf("check the directory of events: %w", err)
	}
	return nil
}

// write appends a line to the last segment, or to a new one where that is full. The caller holds the lock.
func (j *Journal) write(line []byte) error {
	last, err := j.last()
	if err != nil {
		return err
	}
	done, err := j.appendTo(max(last, 1), line)
	if err != nil || done {
		return err
	}
	if _, err := j.appendTo(last+1, line); err != nil {
		return err
	}
	return j.removeUpTo(last + 1)
}

// appendTo appends a line to a segment unless that is full. An empty segment takes any line.
func (j *Journal) appendTo(number uint64, line []byte) (done bool, err error) {
	file, err := os.OpenFile(j.segment(number), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return false, fmt.Errorf("open events: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	size := info.Size()
	if size > 0 && size+int64(len(line))+1 > j.segmentSize {
		return false, nil
	}
	torn, err := isTorn(file, size)
	if err != nil {
		return false, err
	}
	if torn {
		line = append([]byte{'\n'}, line...)
	}
	if _, err := file.Write(line); err != nil {
		err = errors.Join(err, file.Truncate(size)) // a full disk takes half a line
		return false, fmt.Errorf("write event: %w", err)
	}
	return true, nil
}

// isTorn tells whether a writer was killed before it had written the end of the last line.
func isTorn(file io.ReaderAt, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	var end [1]byte
	if _, err := file.ReadAt(end[:], size-1); err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	return end[0] != '\n', nil
}

// removeUpTo removes the segments that are too many when the last one has this number.
func (j *Journal) removeUpTo(last uint64) error {
	numbers, err := j.numbers()
	if err != nil {
		return err
	}
	for _, number := range numbers {
		if number+j.segments > last {
			break
		}
		if err := os.Remove(j.segment(number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove old events: %w", err)
		}
	}
	return nil
}
