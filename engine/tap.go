package engine

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// tap copies one output of an executed process to a file of ours. The process gets a pipe and not our own file: from
// a terminal's it could push input to the user's shell.
type tap struct {
	source *os.File
	sink   *os.File
	done   chan struct{} // closed when all has been copied
}

// lingerTime is how long output is waited for after the process has ended, which its children may still hold open.
const lingerTime = 500 * time.Millisecond

// newTap returns a tap that copies to sink, and the end for the process to write to.
func newTap(sink *os.File) (t *tap, write *os.File, err error) {
	read, write, err := newPipeFrom(0)
	if err != nil {
		return nil, nil, err
	}
	t = &tap{source: read, sink: sink, done: make(chan struct{})}
	go t.copy()
	return t, write, nil
}

// copy ends at the end of the output, when nobody takes it (upon which the process gets SIGPIPE), or at the deadline.
func (t *tap) copy() {
	defer close(t.done)
	defer t.source.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := t.source.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.copyRest(buffer)
			return
		}
		if n > 0 {
			if _, err := t.sink.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// copyRest copies what is in the pipe at this moment.
func (t *tap) copyRest(buffer []byte) {
	if t.source.SetReadDeadline(time.Time{}) != nil {
		return
	}
	raw, err := t.source.SyscallConn()
	if err != nil {
		return
	}
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = unix.Read(int(fd), buffer)
			return true // also when there is nothing
		})
		if err != nil || n <= 0 {
			return
		}
		if _, err := t.sink.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// finish waits until all that the process wrote is copied. A child that holds the pipe open is not waited for.
func (t *tap) finish() {
	t.source.SetReadDeadline(time.Now().Add(lingerTime)) // fails when it has been closed: then all is copied
	<-t.done
}
