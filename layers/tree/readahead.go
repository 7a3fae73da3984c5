package tree

import "io"

const (
	aheadChunk  = 256 << 10
	aheadChunks = 16
)

// readAhead reads in a goroutine of its own. So the source of the tar (a download, decompression, hashing) goes on
// while files are written.
type readAhead struct {
	filled chan chunk  // has room for all chunks
	free   chan []byte // as well
	now    chunk
	rest   []byte // of now
}

// chunk is data that was read, and the error after it, if any.
type chunk struct {
	data []byte
	err  error
}

// newReadAhead begins to read r, until its end or the first read to return after stop.
func newReadAhead(r io.Reader) *readAhead {
	a := &readAhead{filled: make(chan chunk, aheadChunks), free: make(chan []byte, aheadChunks)}
	for range aheadChunks {
		a.free <- make([]byte, aheadChunk)
	}
	go a.fill(r)
	return a
}

// fill passes on what has come as soon as nothing else can be read, and in large pieces otherwise.
func (a *readAhead) fill(r io.Reader) {
	for buf := range a.free {
		c := chunk{}
		for n, full := 0, false; !full && c.err == nil; full = len(c.data) == len(buf) || n > 0 && len(a.filled) == 0 {
			n, c.err = r.Read(buf[len(c.data):])
			c.data = buf[:len(c.data)+n]
		}
		a.filled <- c
		if c.err != nil {
			return
		}
	}
}

// Read returns what was read ahead, and waits for it if necessary.
func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.data != nil {
			a.free <- a.now.data[:aheadChunk]
		}
		a.now = <-a.filled
		a.rest = a.now.data
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// finish reads what is left to the end.
func (a *readAhead) finish() error {
	_, err := io.Copy(io.Discard, a)
	return err
}

// stop ends the reading. Read must not be called after it.
func (a *readAhead) stop() { close(a.free) }
