package engine

import (
	"fmt"
	"os"
	"sync"
)

const (
	logFile = "container.log"
	// oldLogFile is what container.log was before it grew too large.
	oldLogFile = logFile + oldSuffix
	// maxLogFile is how large each of the two may become, in bytes: a container that talks without end must not fill
	// the disk.
	maxLogFile = 64 << 20

	journalFile = "monitor.log"
	// maxJournalFile is the same of monitor.log and what it was before.
	maxJournalFile = 1 << 20

	oldSuffix = ".1"
)

// logWriter appends to a log, and sets it aside when it has grown too large.
type logWriter struct {
	path string
	max  int64 // bytes

	mu   sync.Mutex
	file *os.File
	size int64
}

func openLog(path string, most int64) (*logWriter, error) {
	w := &logWriter{path: path, max: most}
	return w, w.open()
}

func (w *logWriter) open() error {
	file, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("open log: %w", err)
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
	if err := os.Rename(w.path, w.path+oldSuffix); err != nil {
		return fmt.Errorf("set log aside: %w", err)
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
