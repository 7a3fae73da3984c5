package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rcrun/rcrun/internal/filewatch"
)

// LogOptions select what Logs prints.
type LogOptions struct {
	Follow     bool
	Tail       int // the last lines only; negative means all
	Timestamps bool
	Details    bool // leave room for what a container's log may have of each line, as Docker does
	Since      time.Time
	Until      time.Time // zero: without end
}

// ended tells whether a time is after all that is wanted.
func (o LogOptions) ended(at time.Time) bool { return !o.Until.IsZero() && at.After(o.Until) }

// Logs copies what the container wrote to stdout and stderr. Following, it returns when the container has ended or is
// gone. Nothing that is still on disk is left out, however often the log is set aside meanwhile.
func (c *Container) Logs(ctx context.Context, options LogOptions, stdout, stderr io.Writer) error {
	p := &logPrinter{options: options, stdout: stdout, stderr: stderr}
	if options.Follow {
		watch, err := c.watch(logFile, oldLogFile)
		if err != nil {
			return ignoreGone(err)
		}
		defer watch.Close()
		p.watch = watch
	}
	file, err := c.firstLog(ctx, p)
	if file == nil || err != nil {
		return err
	}
	defer func() { file.Close() }()
	for {
		// Whether it runs is asked before reading: what was written up to its end is then read below.
		refreshErr := c.refresh()
		running := refreshErr == nil && c.State.Status.Up()
		if err := p.printAvailable(ctx); err != nil {
			return err
		}
		next, err := c.logAfter(file)
		if err != nil {
			return err
		}
		if next != nil {
			err := p.printAvailable(ctx) // what came before the log was set aside
			file.Close()
			file = next
			if err != nil {
				return err
			}
			p.read(file)
			continue
		}
		if !options.Follow || !running || options.ended(time.Now()) {
			return ignoreGone(refreshErr)
		}
		if err := p.printMore(ctx); err != nil {
			return err
		}
	}
}

// firstLog opens the part of the log to begin with, at the lines that Tail wants. A log that does not exist is nil, or
// following waited for as long as the container runs.
func (c *Container) firstLog(ctx context.Context, p *logPrinter) (*os.File, error) {
	for {
		old, current, err := c.openLogs()
		if err != nil {
			return nil, err
		}
		if current != nil {
			return p.begin(old, current)
		}
		if err := c.refresh(); err != nil || !p.options.Follow || !c.State.Status.Up() {
			return nil, ignoreGone(err)
		}
		if _, err := p.watch.Wait(ctx); err != nil {
			return nil, ignoreGone(err)
		}
	}
}

// logAfter opens the part of the log that follows on file; nil where file is the last one. One that is not there any
// more is followed by the oldest that is.
func (c *Container) logAfter(file *os.File) (*os.File, error) {
	old, current, err := c.openLogs()
	switch {
	case err != nil || current == nil: // being set aside, or removed
	case sameFile(file, current):
		current.Close()
		current = nil
	case old != nil && !sameFile(file, old):
		current.Close()
		return old, nil
	}
	if old != nil {
		old.Close()
	}
	return current, err
}

// openLogs opens the part of the log that was set aside, which may be missing, and the current one; where that is
// missing, as it is for a moment, the one that was set aside counts as current. They follow on each other: if the log
// is set aside in between, it tries again.
func (c *Container) openLogs() (old, current *os.File, err error) {
	for {
		files := make([]*os.File, 3)
		for i, name := range []string{oldLogFile, logFile, oldLogFile} {
			if files[i], err = openIfThere(c.path(name)); err != nil {
				closeAll(files...)
				return nil, nil, err
			}
		}
		old, current, again := files[0], files[1], files[2]
		settled := old == nil && again == nil || old != nil && again != nil && sameFile(old, again)
		closeAll(again)
		switch {
		case settled && current == nil:
			return nil, old, nil
		case settled:
			return old, current, nil
		}
		closeAll(old, current)
	}
}

// openIfThere opens a part of the log; nil where it does not exist.
func openIfThere(path string) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open container log: %w", err)
	}
	return file, nil
}

func closeAll(files ...*os.File) {
	for _, file := range files {
		if file != nil {
			file.Close()
		}
	}
}

func sameFile(a, b *os.File) bool {
	x, errX := a.Stat()
	y, errY := b.Stat()
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// ignoreGone drops the error of a record that is not there any more.
func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

type logPrinter struct {
	options        LogOptions
	stdout, stderr io.Writer
	reader         *bufio.Reader
	partial        []byte             // a line whose end is not yet written
	watch          *filewatch.Watcher // of the log and of what says whether the container runs; nil without Follow
}

// read goes on with the start of a file. A line that the one before did not end, as on a full disk, is given up.
func (p *logPrinter) read(file *os.File) {
	p.reader, p.partial = bufio.NewReader(file), nil
}

// begin returns the file of the two that has the first of the lines that Tail wants, at that line. It closes the other
// one.
func (p *logPrinter) begin(old, current *os.File) (*os.File, error) {
	if p.options.Tail < 0 && old != nil {
		current.Close()
		p.read(old)
		return old, nil
	}
	wanted := p.options.Tail
	found, err := p.seekTail(current, wanted)
	if err == nil && found < wanted && old != nil {
		if _, err = p.seekTail(old, wanted-found); err == nil {
			current.Close()
			return old, nil
		}
	}
	closeAll(old)
	if err != nil {
		current.Close()
		return nil, fmt.Errorf("read container log: %w", err)
	}
	return current, nil
}

// seekTail goes on with the last lines of a file, as many as are wanted; all for a negative number. It returns how many
// there are.
func (p *logPrinter) seekTail(file *os.File, wanted int) (found int, err error) {
	p.read(file)
	if wanted < 0 {
		return 0, nil
	}
	offset, found, err := p.tailOffset(wanted)
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	p.read(file)
	return found, err
}

// tailOffset returns where the last lines begin, as many as are wanted, or the end of the file where none is, and how
// many there are.
func (p *logPrinter) tailOffset(wanted int) (offset int64, found int, err error) {
	var starts []int64 // of the last lines
	atStart := true
	for {
		part, err := p.reader.ReadSlice('\n')
		if atStart && len(part) > 0 {
			starts = append(starts, offset)
			starts = starts[max(0, len(starts)-wanted):]
		}
		offset += int64(len(part))
		switch {
		case err == io.EOF && len(starts) > 0:
			return starts[0], len(starts), nil
		case err == io.EOF:
			return offset, 0, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return 0, 0, err
		}
		atStart = err == nil
	}
}

// printMore prints what is written to the file, until something else changes or all that is wanted has been written.
func (p *logPrinter) printMore(ctx context.Context) error {
	span, cancel := ctx, context.CancelFunc(func() {})
	if !p.options.Until.IsZero() {
		span, cancel = context.WithDeadline(ctx, p.options.Until)
	}
	defer cancel()
	for {
		change, err := p.watch.Wait(span)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case span.Err() != nil || errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return err
		case change != filewatch.Data:
			return nil
		}
		if err := p.printAvailable(ctx); err != nil {
			return err
		}
	}
}

// printAvailable prints all complete lines that are there.
func (p *logPrinter) printAvailable(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, err := p.reader.ReadBytes('\n')
		p.partial = append(p.partial, line...)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read container log: %w", err)
		}
		if err := p.print(p.partial); err != nil {
			return err
		}
		p.partial = p.partial[:0]
	}
}

func (p *logPrinter) print(text []byte) error {
	var line logLine
	if err := json.Unmarshal(text, &line); err != nil {
		return nil // torn by a full disk or a crash; the lines around it are good
	}
	if line.Time.Before(p.options.Since) || p.options.ended(line.Time) {
		return nil
	}
	out := p.stdout
	if line.Stream == "stderr" {
		out = p.stderr
	}
	if p.options.Details {
		line.Log = " " + line.Log
	}
	if p.options.Timestamps {
		line.Log = line.Time.Format(time.RFC3339Nano) + " " + line.Log
	}
	_, err := io.WriteString(out, line.Log)
	return err
}
