package layers

import (
	"context"
	"io"
	"sync"
	"time"
)

// Progress is told how many bytes of long work are done, and of how many; total is 0 where nobody knows. It is called
// by one goroutine at a time.
type Progress func(done, total int64)

// meter counts what is done, and tells a Progress of it now and then.
type meter struct {
	to    Progress // nil is quiet
	total int64

	mu   sync.Mutex // guards what is below, and calls of to
	done int64
	last time.Time
}

func (m *meter) add(n int) {
	if m.to == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(n)
	if time.Since(m.last) >= reportInterval {
		m.last = time.Now()
		m.to(m.done, m.total)
	}
}

// reader counts what is read.
func (m *meter) reader(r io.Reader) io.Reader { return meteredReader{r, m} }

// writer counts what is written.
func (m *meter) writer(w io.Writer) io.Writer { return meteredWriter{w, m} }

// CountWritten returns a writer that tells of what is written to w; w itself where nobody wants to know.
func CountWritten(w io.Writer, to Progress) io.Writer {
	if to == nil {
		return w
	}
	return (&meter{to: to}).writer(w)
}

type meteredReader struct {
	io.Reader
	meter *meter
}

func (r meteredReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.meter.add(n)
	return n, err
}

type meteredWriter struct {
	io.Writer
	meter *meter
}

func (w meteredWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.meter.add(n)
	return n, err
}

// contextReader ends reading when the context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// contextWriter ends writing when the context does.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
