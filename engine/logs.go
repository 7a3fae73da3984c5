package engine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
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

// followPause is how often a followed log is looked at.
const followPause = 100 * time.Millisecond

// Logs copies what the container wrote to stdout and stderr. Following, it returns when the container has ended or is
// gone.
func (c *Container) Logs(options LogOptions, stdout, stderr io.Writer) error {
	p := &logPrinter{options: options, stdout: stdout, stderr: stderr}
	if err := c.printOldLog(p); err != nil {
		return err
	}
	file, err := c.waitForLog(options.Follow)
	if file == nil || err != nil {
		return err
	}
	defer func() { file.Close() }()
	if err := p.start(file); err != nil {
		return err
	}
	for {
		// Whether it runs is asked before reading: what was written up to its end is then read below.
		refreshErr := c.refresh()
		running := refreshErr == nil && c.State.Status == Running
		if err := p.printAvailable(); err != nil {
			return err
		}
		if next := c.nextLog(file); next != nil {
			err := p.printAvailable() // what came before the log was set aside
			file.Close()
			file = next
			if err != nil {
				return err
			}
			p.reader.Reset(file)
			continue
		}
		if !options.Follow || !running || options.ended(time.Now()) {
			return ignoreGone(refreshErr)
		}
		time.Sleep(followPause)
	}
}

// printOldLog prints the part of the log that was set aside. How many lines it has beyond those that Tail wants is not
// worth counting: with Tail, only the current part is looked at.
func (c *Container) printOldLog(p *logPrinter) error {
	if p.options.Tail >= 0 {
		return nil
	}
	file, err := os.Open(c.path(oldLogFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open container log: %w", err)
	}
	defer file.Close()
	p.reader = bufio.NewReader(file)
	return p.printAvailable()
}

// waitForLog opens the log. One that does not exist is nil, or following waited for as long as the container runs.
func (c *Container) waitForLog(follow bool) (*os.File, error) {
	for {
		file, err := os.Open(c.path(logFile))
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("open container log: %w", err)
		}
		if err := c.refresh(); err != nil || !follow || c.State.Status != Running {
			return nil, ignoreGone(err)
		}
		time.Sleep(followPause)
	}
}

// nextLog returns the log that has taken the place of file since it was opened, or nil.
func (c *Container) nextLog(file *os.File) *os.File {
	next, err := os.Open(c.path(logFile))
	if err != nil {
		return nil
	}
	old, errOld := file.Stat()
	current, errNew := next.Stat()
	if errOld != nil || errNew != nil || os.SameFile(old, current) {
		next.Close()
		return nil
	}
	return next
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
	partial        []byte // a line whose end is not yet written
}

// start begins with file, at the lines that Tail wants.
func (p *logPrinter) start(file *os.File) error {
	p.reader = bufio.NewReader(file)
	if p.options.Tail < 0 {
		return nil
	}
	offset, err := p.tailOffset()
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("read container log: %w", err)
	}
	p.reader.Reset(file)
	return nil
}

// tailOffset returns where the last Tail lines begin, or the end of the file where none is wanted.
func (p *logPrinter) tailOffset() (int64, error) {
	var starts []int64 // of the last lines
	var offset int64
	atStart := true
	for {
		part, err := p.reader.ReadSlice('\n')
		if atStart && len(part) > 0 {
			starts = append(starts, offset)
			starts = starts[max(0, len(starts)-p.options.Tail):]
		}
		offset += int64(len(part))
		switch {
		case err == io.EOF && len(starts) > 0:
			return starts[0], nil
		case err == io.EOF:
			return offset, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return 0, err
		}
		atStart = err == nil
	}
}

// printAvailable prints all complete lines that are there.
func (p *logPrinter) printAvailable() error {
	for {
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
