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
	Since      time.Time
}

// followPause is how often a followed log is looked at.
const followPause = 100 * time.Millisecond

// Logs copies what the container wrote to stdout and stderr. Following, it returns when the container has ended.
func (c *Container) Logs(options LogOptions, stdout, stderr io.Writer) error {
	file, err := os.Open(c.path(logFile))
	if errors.Is(err, os.ErrNotExist) {
		if c.State.Status == Created && !options.Follow {
			return nil // it never ran
		}
		file, err = os.OpenFile(c.path(logFile), os.O_RDONLY|os.O_CREATE, 0o600)
	}
	if err != nil {
		return fmt.Errorf("open container log: %w", err)
	}
	defer file.Close()
	p := &logPrinter{options: options, stdout: stdout, stderr: stderr, reader: bufio.NewReader(file)}
	if options.Tail >= 0 {
		if err := p.skipTo(options.Tail, file); err != nil {
			return err
		}
	}
	for {
		// Whether it runs is asked before reading: what was written up to its end is then read below.
		if err := c.refresh(); err != nil {
			return err
		}
		running := c.State.Status == Running
		if err := p.printAvailable(); err != nil {
			return err
		}
		if !options.Follow || !running {
			return nil
		}
		time.Sleep(followPause)
	}
}

type logPrinter struct {
	options        LogOptions
	stdout, stderr io.Writer
	reader         *bufio.Reader
	partial        []byte // a line whose end is not yet written
}

// skipTo leaves the last n lines to be read.
func (p *logPrinter) skipTo(n int, file *os.File) error {
	var starts []int64 // of the last n lines
	var offset int64
	for {
		line, err := p.reader.ReadSlice('\n')
		if len(line) > 0 && n > 0 {
			starts = append(starts, offset)
			if len(starts) > n {
				starts = starts[1:]
			}
		}
		offset += int64(len(line))
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of the same line
			line, err = p.reader.ReadSlice('\n')
			offset += int64(len(line))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read container log: %w", err)
		}
	}
	if len(starts) > 0 {
		offset = starts[0]
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("read container log: %w", err)
	}
	p.reader.Reset(file)
	return nil
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
	if line.Time.Before(p.options.Since) {
		return nil
	}
	out := p.stdout
	if line.Stream == "stderr" {
		out = p.stderr
	}
	if p.options.Timestamps {
		line.Log = line.Time.Format(time.RFC3339Nano) + " " + line.Log
	}
	_, err := io.WriteString(out, line.Log)
	return err
}
