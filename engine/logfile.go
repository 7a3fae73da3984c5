package engine

import (
	"fmt"
	"os"
	"sync"
)

const (
	logFile = "container.log"
	// oldLogFile is what container.log was before it grew too large.
	oldLogFile = "container.log.1"
	// maxLogFile is how large each of the two may become, in bytes: a container that talks without end must not fill
	// the disk.
	maxLogFile = 64 << 20
)

// logWriter appends to a container's log, and sets it aside when it has grown too large.
type logWriter struct {
	c   *Container
	max int64

	mu   sync.Mutex
	file *os.File
	size int64
}

func openLog(c *Container) (*logWriter, error) {
	w := &logWriter{c: c, max: maxLogFile}
	return w, w.open()
}

func (w *logWriter) open() error {
	file, err := os.OpenFile(w.c.path(logFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open container log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("open container log: %w", err)
	}
	w.file, w.size = file, info.Size()
	return nil
}

// Write appends whole lines.
func (w *logWriter) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size > 0 && w.size+int64(len(lines)) > w.max {
		if err := w.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := w.file.Write(lines)
	w.size += int64(n)
	return n, err
}

func (w *logWriter) rotate() error {
	if err := os.Rename(w.c.path(logFile), w.c.path(oldLogFile)); err != nil {
		return fmt.Errorf("set container log aside: %w", err)
	}
	w.file.Close() // all that was written is in the kernel's hands
	return w.open()
}

// Close closes the log.
func (w *logWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.file.Close()
}
