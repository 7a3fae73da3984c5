package engine

import (
	"encoding/json"
	"io"
	"os"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// logLine is a line of container.log, in the format of Docker's json-file driver.
type logLine struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
}

// maxLogLine is where a line that does not end is cut into several entries, in bytes.
const maxLogLine = 16 << 10

// output receives one stream of a container and passes it on to the log and to those who are attached.
type output struct {
	stream string
	log    io.Writer

	line []byte // what is not in the log yet; used by the one who copies

	mu      sync.Mutex
	clients []*client // guarded by mu
	ending  bool      // the payload has ended; guarded by mu
	drained bool      // no more will come; guarded by mu
}

// attach adds a client.
func (o *output) attach(c *client) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.drained {
		c.finish()
	}
	if o.ending {
		c.unbound()
	}
	o.clients = append(o.clients, c)
}

// payloadEnded lets all that is still in the pipe through at once: it is little, and the container's end must not wait
// for one who reads slowly.
func (o *output) payloadEnded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ending = true
	for _, c := range o.clients {
		c.unbound()
	}
}

// copyFrom passes on all of source, until its end or an error: a terminal ends with EIO.
func (o *output) copyFrom(source io.Reader) {
	for {
		buffer := make([]byte, 32<<10) // a new one each time: clients keep it until they have written it
		n, err := source.Read(buffer)
		o.pass(buffer[:n])
		if err != nil {
			o.end()
			return
		}
	}
}

// pass writes to the log first: that nobody reads is no reason not to keep it.
func (o *output) pass(data []byte) {
	o.logData(data)
	o.mu.Lock()
	clients := slices.Clone(o.clients)
	o.mu.Unlock()
	for _, c := range clients {
		c.send(data)
	}
}

// end flushes the log and lets the clients end when they have written everything.
func (o *output) end() {
	if len(o.line) > 0 {
		o.writeLine(len(o.line))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drained = true
	for _, c := range o.clients {
		c.finish()
	}
}

func (o *output) logData(data []byte) {
	o.line = append(o.line, data...)
	for {
		switch end := slices.Index(o.line, '\n') + 1; {
		case end > 0 && end <= maxLogLine:
			o.writeLine(end)
		case len(o.line) >= maxLogLine:
			o.writeLine(cutAtRune(o.line[:maxLogLine]))
		default:
			return
		}
	}
}

// cutAtRune returns how much of text ends with a whole character.
func cutAtRune(text []byte) int {
	for back := 1; back < utf8.UTFMax && back < len(text); back++ {
		if start := len(text) - back; utf8.RuneStart(text[start]) {
			if !utf8.FullRune(text[start:]) {
				return start
			}
			break
		}
	}
	return len(text)
}

// writeLine moves the first n bytes to the log. An error there (a full disk) must not stop the container's output.
func (o *output) writeLine(n int) {
	text, err := json.Marshal(logLine{Log: string(o.line[:n]), Stream: o.stream, Time: time.Now().UTC()})
	o.line = o.line[n:]
	if err == nil {
		o.log.Write(append(text, '\n'))
	}
}

// clientBacklog is how much output may wait for a client, in bytes, before the container waits for it.
const clientBacklog = 1 << 20

// client is one who is attached to an output. A goroutine of its own writes to it, so that one who does not read
// keeps neither the log nor the others from going on, until its backlog is full: then the container waits, as a
// program in a pipeline does.
type client struct {
	file *os.File
	gone chan struct{} // closed when it gets nothing more: it has everything, or takes no more

	mu        sync.Mutex
	changed   *sync.Cond // of what follows
	queue     [][]byte
	size      int
	limitless bool // there is always room
	closed    bool // nothing more will come
	broken    bool // it takes no more: its reader has gone away, or it was detached
}

func newClient(file *os.File) *client {
	c := &client{file: file, gone: make(chan struct{})}
	c.changed = sync.NewCond(&c.mu)
	go c.write()
	return c
}

// send queues data, once there is room for it.
func (c *client) send(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.size > clientBacklog && !c.limitless && !c.broken {
		c.changed.Wait()
	}
	if !c.broken && len(data) > 0 {
		c.queue, c.size = append(c.queue, data), c.size+len(data)
		c.changed.Broadcast()
	}
}

// finish says that nothing more will come.
func (c *client) finish() { c.set(&c.closed) }

// unbound makes room for all that comes.
func (c *client) unbound() { c.set(&c.limitless) }

// drop gives up the client.
func (c *client) drop() { c.set(&c.broken) }

func (c *client) set(flag *bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*flag = true
	c.changed.Broadcast()
}

// write writes what is queued until the end, or until a write fails. It closes the file.
func (c *client) write() {
	defer close(c.gone)
	defer c.file.Close()
	for {
		data, more := c.next()
		if !more {
			return
		}
		if _, err := c.file.Write(data); err != nil {
			c.drop()
			return
		}
	}
}

func (c *client) next() (data []byte, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.closed && !c.broken {
		c.changed.Wait()
	}
	if c.broken || len(c.queue) == 0 {
		return nil, false
	}
	data, c.queue = c.queue[0], c.queue[1:]
	c.size -= len(data)
	c.changed.Broadcast()
	return data, true
}

// isBroken tells whether the client stopped taking output while there was more to come.
func (c *client) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}
