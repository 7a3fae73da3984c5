package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/rcrun/rcrun/internal/wire"
)

// Streams are the standard streams of the user's command; nil means not attached.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr *os.File
}

// Session is a command's connection to a container's payload or to a process executed in it.
type Session struct {
	Pid      int
	Warnings []string
	Console  *os.File // of Exec with a terminal; the caller copies, resizes and closes it

	conn    *wire.Conn
	copying sync.WaitGroup // of the outputs; input may go on for ever
}

// Start starts the container and returns when its payload runs. Output is attached from the first byte.
func (c *Container) Start(ctx context.Context, streams Streams, size WinSize) (*Session, error) {
	log, err := os.OpenFile(c.path("monitor.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the monitor's log: %w", err)
	}
	defer log.Close()
	cmd, conn, err := spawn(MonitorStage, log)
	if err != nil {
		return nil, err
	}
	// It is reaped by whoever adopts it, should we end first, and otherwise here.
	go cmd.Wait()
	session := &Session{conn: conn}
	set, files, err := session.attachments(streams)
	if err == nil {
		err = conn.Send(msgStart, startRequest{Dirs: c.dirs, ID: c.ID, Streams: set, Size: size}, files...)
	}
	if files != nil && set.Stdin {
		files[0].Close()
	}
	if err == nil {
		err = session.awaitStart()
	}
	if err != nil {
		session.Close()
		return nil, err
	}
	return session, nil
}

// Attach connects to the payload of a running container.
func (c *Container) Attach(streams Streams) (*Session, error) {
	conn, err := c.dial()
	if err != nil {
		return nil, err
	}
	session := &Session{conn: conn}
	set, files, err := session.attachments(streams)
	if err == nil {
		err = conn.Send(msgAttach, attachRequest{Streams: set}, files...)
	}
	if files != nil && set.Stdin {
		files[0].Close()
	}
	if err == nil {
		err = session.awaitStart()
	}
	if err != nil {
		session.Close()
		return nil, err
	}
	return session, nil
}

// attachments returns what to send to the monitor for streams. Outputs go to the monitor as they are: it writes to
// them itself, which saves a copy and leaves nothing to be lost when we end. Input goes through a pipe, since what we
// read from a terminal and nobody wants any more must stay there.
func (s *Session) attachments(streams Streams) (set streamSet, files []*os.File, err error) {
	if streams.Stdin != nil {
		read, err := s.pipeIn(streams.Stdin)
		if err != nil {
			return set, nil, err
		}
		set.Stdin, files = true, append(files, read)
	}
	if streams.Stdout != nil {
		set.Stdout, files = true, append(files, streams.Stdout)
	}
	if streams.Stderr != nil {
		set.Stderr, files = true, append(files, streams.Stderr)
	}
	return set, files, nil
}

// pipeAll returns pipes for streams, copied to and from here. A process in the container must not get our own files:
// from a terminal's it could push input to the user's shell.
func (s *Session) pipeAll(streams Streams) (set streamSet, files []*os.File, err error) {
	if streams.Stdin != nil {
		read, err := s.pipeIn(streams.Stdin)
		if err != nil {
			return set, nil, err
		}
		set.Stdin, files = true, append(files, read)
	}
	for _, out := range []struct {
		file *os.File
		set  *bool
	}{{streams.Stdout, &set.Stdout}, {streams.Stderr, &set.Stderr}} {
		if out.file == nil {
			continue
		}
		read, write, err := newPipe()
		if err != nil {
			closeFiles(files)
			return set, nil, err
		}
		*out.set, files = true, append(files, write)
		s.copying.Go(func() {
			defer read.Close()
			io.Copy(out.file, read) // a reader that has gone away ends the process by SIGPIPE
		})
	}
	return set, files, nil
}

// pipeIn returns a pipe into which source is copied until its end.
func (s *Session) pipeIn(source io.Reader) (*os.File, error) {
	read, write, err := newPipe()
	if err != nil {
		return nil, err
	}
	go func() {
		defer write.Close()
		io.Copy(write, source) // an error means that nobody reads any more
	}()
	return read, nil
}

// awaitStart waits for the answer that the process runs.
func (s *Session) awaitStart() error {
	message, err := receive(s.conn, msgStarted)
	if err != nil {
		return err
	}
	var started startedReply
	if err := message.Decode(&started); err != nil {
		return err
	}
	s.Pid, s.Warnings = started.Pid, started.Warnings
	if len(message.Files) == 1 {
		s.Console = message.Files[0]
	}
	return nil
}

// Wait returns how the process ended, when all its output has been passed on.
func (s *Session) Wait() (Exit, error) {
	message, err := receive(s.conn, msgExited)
	if err != nil {
		return Exit{}, err
	}
	var exit Exit
	if err := message.Decode(&exit); err != nil {
		return Exit{}, err
	}
	s.copying.Wait()
	return exit, nil
}

// Resize tells the container's terminal the size of ours.
func (s *Session) Resize(size WinSize) error { return s.conn.Send(msgResize, size) }

// Signal sends a signal to the payload.
func (s *Session) Signal(signal syscall.Signal) error {
	return s.conn.Send(msgSignal, signalRequest{Signal: signal})
}

// Close leaves the container to itself.
func (s *Session) Close() error { return s.conn.Close() }
