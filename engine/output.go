package engine

import (
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// logLine is a line of container.log, in the format of Docker's json-file driver.
type logLine struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
}

// maxLogLine is where a line that does not end is cut into several entries.
const maxLogLine = 16 << 10

// output receives one stream of a container and passes it on to the log and to those who are attached.
type output struct {
	stream string
	log    io.Writer

	mu      sync.Mutex
	line    strings.Builder
	clients []*os.File
}

// attach adds a client, which is dropped when a write to it fails.
func (o *output) attach(client *os.File) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clients = append(o.clients, client)
}

// detach drops a client without closing it.
func (o *output) detach(client *os.File) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clients = slices.DeleteFunc(o.clients, func(f *os.File) bool { return f == client })
}

// copyFrom passes on all of source, until its end or an error: a terminal ends with EIO.
func (o *output) copyFrom(source io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := source.Read(buffer)
		o.pass(buffer[:n])
		if err != nil {
			o.flush()
			return
		}
	}
}

func (o *output) pass(data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clients = slices.DeleteFunc(o.clients, func(client *os.File) bool {
		_, err := client.Write(data)
		return err != nil
	})
	for len(data) > 0 {
		end := slices.Index(data, '\n') + 1
		if room := maxLogLine - o.line.Len(); end == 0 || end > room {
			end = min(len(data), room)
		}
		o.line.Write(data[:end])
		if data[end-1] == '\n' || o.line.Len() == maxLogLine {
			o.writeLine()
		}
		data = data[end:]
	}
}

func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.line.Len() > 0 {
		o.writeLine()
	}
}

// writeLine appends the line to the log. An error there (a full disk) must not stop the container's output.
func (o *output) writeLine() {
	text, err := json.Marshal(logLine{Log: o.line.String(), Stream: o.stream, Time: time.Now().UTC()})
	o.line.Reset()
	if err == nil {
		o.log.Write(append(text, '\n'))
	}
}
