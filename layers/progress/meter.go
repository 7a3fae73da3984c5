package progress

import (
	"io"
	"sync"
	"time"
)

// Func is told how many bytes of long work are done, and of how many; total is 0 if nobody knows it. Calls do not
// overlap.
type Func func(done, total int64)

// Meter counts what is done, and tells a Func of it from time to time.
type Meter struct {
	To    Func // nil is quiet
	Total int64

	mu   sync.Mutex // guards what is below, and calls of to
	done int64
	last time.Time
}

func (m *Meter) add(n int) {
	if m.To == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(n)
	if time.Since(m.last) >= reportInterval {
		m.last = time.Now()
		m.To(m.done, m.Total)
	}
}

// count passes on the result of a read or write, which it counts.
func (m *Meter) count(n int, err error) (int, error) {
	m.add(n)
	return n, err
}

// Reader counts what is read.
func (m *Meter) Reader(r io.Reader) io.Reader { return meteredReader{r, m} }

// Writer counts what is written.
func (m *Meter) Writer(w io.Writer) io.Writer { return meteredWriter{w, m} }

// CountWritten returns a writer to w that tells a Func how much is written; w itself if the Func is nil.
func CountWritten(w io.Writer, to Func) io.Writer {
	if to == nil {
		return w
	}
	return (&Meter{To: to}).Writer(w)
}

type meteredReader struct {
	io.Reader
	meter *Meter
}

func (r meteredReader) Read(p []byte) (int, error) {
	return r.meter.count(r.Reader.Read(p))
}

type meteredWriter struct {
	io.Writer
	meter *Meter
}

func (w meteredWriter) Write(p []byte) (int, error) {
	return w.meter.count(w.Writer.Write(p))
}
