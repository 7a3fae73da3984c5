package events

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/moby/moby/api/types/events"
)

// cursor is a place in a journal. It goes forward only.
type cursor struct {
	journal *Journal
	number  uint64   // of the segment; 0 before the first
	file    *os.File // the segment
	reader  *bufio.Reader
	partial []byte // of a line whose end has not been read
	emit    func(events.Message) error
	lost    func() // may be nil
}

func (c *cursor) close() {
	if c.file != nil {
		c.file.Close()
	}
}

// seekEnd goes to the end of the journal as it is now.
func (c *cursor) seekEnd() error {
	last, err := c.journal.last()
	if err != nil || last == 0 {
		return err
	}
	opened, err := c.open(last)
	if err != nil || !opened {
		return err // removed already: what follows on it has been written since
	}
	if _, err := c.file.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}

// open goes to the start of a segment, if that is still there.
func (c *cursor) open(number uint64) (bool, error) {
	file, err := os.Open(c.journal.segment(number))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open events: %w", err)
	}
	c.close()
	c.number, c.file, c.reader, c.partial = number, file, bufio.NewReader(file), nil
	return true, nil
}

// read passes on all events up to the end of the journal.
func (c *cursor) read() error {
	for {
		if err := c.drain(); err != nil {
			return err
		}
		next, err := c.journal.after(c.number)
		if err != nil || next == 0 {
			return err
		}
		// The next segment exists, so this one has all that it will ever have.
		if err := c.drain(); err != nil {
			return err
		}
		if err := c.flush(); err != nil {
			return err
		}
		if err := c.goTo(next); err != nil {
			return err
		}
	}
}

// goTo goes on with another segment, and says so where events are missing in between. A reader that begins misses none.
func (c *cursor) goTo(next uint64) error {
	before := c.number
	opened, err := c.open(next)
	if err != nil {
		return err
	}
	if before != 0 && (next != before+1 || !opened) && c.lost != nil {
		c.lost()
	}
	c.number = next // also where it has been removed just now
	return nil
}

// drain passes on the lines of the segment that have an end.
func (c *cursor) drain() error {
	for c.file != nil {
		part, err := c.reader.ReadSlice('\n')
		if len(c.partial) <= maxLine { // the rest of one that is no event of ours need not be kept
			c.partial = append(c.partial, part...)
		}
		switch {
		case err == nil:
			if err := c.flush(); err != nil {
				return err
			}
		case err == io.EOF:
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("read events: %w", err)
		}
	}
	return nil
}

// flush passes on what has been read of a line, if that is an event.
func (c *cursor) flush() error {
	message, ok := decode(c.partial)
	c.partial = c.partial[:0]
	if !ok {
		return nil
	}
	return c.emit(message)
}
