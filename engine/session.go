package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/internal/strictjson"
	"github.com/rcrun/rcrun/internal/wire"
)

// Streams are the standard streams of the user's command; nil means not attached. Stdin is read by a goroutine, which
// ends with the session but for a Read that is under way: only the reader's owner can end that.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr *os.File
}

// Session is a command's connection to a container's payload or to a process executed in it.
type Session struct {
	Pid      int
	ExecID   string // of Exec
	Warnings []string
	Console  *os.File // of Exec with a terminal; the caller copies, resizes and closes it

	conn    *wire.Conn
	input   *os.File // that standard input is copied to
	outputs []*tap   // of an executed process
}

// ErrHangup is returned by Wait where nobody reads the output any more: the command may as well end.
var ErrHangup = errors.New("the output has no reader any more")

// Start starts the container and returns when its payload runs. Output is attached from the first byte.
func (e *Engine) Start(ctx context.Context, c *Container, streams Streams, size WinSize) (*Session, error) {
	if err := checkLimits(); err != nil {
		return nil, err
	}
	if err := c.requireWhole(); err != nil {
		return nil, err
	}
	root, err := e.planRoot(ctx, c)
	if err != nil {
		return nil, err
	}
	whole, err := os.Open(stage.Self)
	if err != nil {
		return nil, fmt.Errorf("open own program: %w", err)
	}
	defer whole.Close()
	log, err := os.OpenFile(c.path(journalFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the monitor's log: %w", err)
	}
	defer log.Close()
	if size == (WinSize{}) {
		size = c.HostConfig.consoleSize()
	}
	cmd, conn, err := e.spawn(MonitorStage, log)
	if err != nil {
		return nil, err
	}
	// The monitor is reaped here, or by the process that adopts it if this one ends first.
	go cmd.Wait()
	session := &Session{conn: conn}
	return session, session.open(ctx, streams, func(set streamSet) (string, any) {
		return msgStart, startRequest{Dirs: c.dirs, ID: c.ID, Root: root, Streams: set, Size: size}
	}, whole)
}

// Attach connects to the payload of a running container.
func (c *Container) Attach(ctx context.Context, streams Streams, size WinSize) (*Session, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	return attachOver(ctx, conn, streams, size)
}

// open sends a request with our streams and waits for the answer that the process runs. Outputs go to the monitor as
// they are: it writes to them itself, which saves a copy and leaves nothing to be lost when we end. Input goes through
// a pipe, since what we read from a terminal and nobody wants any more must stay there.
// Files go before those of the streams.
func (s *Session) open(ctx context.Context, streams Streams, request func(streamSet) (kind string, body any),
	files ...*os.File) error {
	var set streamSet
	input, err := s.pipeInput(streams.Stdin)
	if err != nil {
		s.Close()
		return err
	}
	if input != nil {
		defer input.Close()
		set.Stdin, files = true, append(files, input)
	}
	if streams.Stdout != nil {
		set.Stdout, files = true, append(files, streams.Stdout)
	}
	if streams.Stderr != nil {
		set.Stderr, files = true, append(files, streams.Stderr)
	}
	kind, body := request(set)
	return s.request(ctx, kind, body, files)
}

// request sends a request and waits for the answer that the process runs. After an error the session is closed.
func (s *Session) request(ctx context.Context, kind string, body any, files []*os.File) error {
	err := strictjson.CheckText(body)
	if err == nil {
		err = s.conn.Within(ctx, func() error {
			if err := s.conn.Send(kind, body, files...); err != nil {
				return err
			}
			return s.awaitStart()
		})
	}
	if err != nil {
		s.Close()
	}
	return err
}

// pipeInput returns a pipe into which source is copied until its end, or that of the session; nil for nil.
func (s *Session) pipeInput(source io.Reader) (*os.File, error) {
	if source == nil {
		return nil, nil
	}
	write, read, err := newPipeFrom(1)
	if err != nil {
		return nil, err
	}
	s.input = write
	go func() {
		defer write.Close()
		io.Copy(write, source) // an error means that nobody reads any more
	}()
	return read, nil
}

// awaitStart waits for the answer that the process runs.
func (s *Session) awaitStart() error {
	message, err := receive(s.conn, msgStarted)
	if errors.Is(err, io.EOF) {
		return errDied
	}
	if err != nil {
		return err
	}
	var started startedReply
	if err := message.Decode(&started); err != nil {
		wire.CloseFiles(message.Files)
		return err
	}
	s.Pid, s.ExecID, s.Warnings = started.Pid, started.ExecID, started.Warnings
	if len(message.Files) == 1 {
		s.Console = message.Files[0]
	}
	return nil
}

// Wait returns how the process ended, when all its output has been passed on; or ErrHangup when there is nobody to
// pass it on to. A session whose waiting was cancelled is over.
func (s *Session) Wait(ctx context.Context) (Exit, error) {
	var message wire.Message
	err := s.conn.Within(ctx, func() (err error) {
		message, err = s.last()
		return err
	})
	switch {
	case ctx.Err() != nil && err != nil:
		return Exit{}, context.Cause(ctx)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return Exit{Code: killedExit, Error: monitorKilled}, nil
	case err != nil:
		return Exit{}, fmt.Errorf("wait for the monitor: %w", err)
	case message.Kind == msgHangup:
		return Exit{}, ErrHangup
	}
	if err := adviseVersion(s.conn, message.Expect(msgExited)); err != nil {
		return Exit{}, err
	}
	var exit Exit
	if err := message.Decode(&exit); err != nil {
		return Exit{}, err
	}
	for _, t := range s.outputs {
		t.finish()
	}
	return exit, nil
}

// last receives the message that ends the session. One that this version does not know is of a newer monitor, and is
// left out: what an older command must know comes in messages that it knows.
func (s *Session) last() (wire.Message, error) {
	for {
		message, err := s.conn.Recv()
		if err != nil || message.IsError() || message.Kind == msgExited || message.Kind == msgHangup {
			return message, err
		}
		wire.CloseFiles(message.Files)
	}
}

// Resize tells the container's terminal the size of ours.
func (s *Session) Resize(ctx context.Context, size WinSize) error {
	return s.send(ctx, msgResize, size)
}

// Signal sends a signal to the payload.
func (s *Session) Signal(ctx context.Context, signal syscall.Signal) error {
	return s.send(ctx, msgSignal, signalRequest{Signal: signal})
}

// send sends a message that has no answer. A session whose sending was cancelled is over.
func (s *Session) send(ctx context.Context, kind string, body any) error {
	return s.conn.Within(ctx, func() error { return s.conn.Send(kind, body) })
}

// Detach is Close for a user who leaves the container on purpose, and not because the command ends.
func (s *Session) Detach(ctx context.Context) error {
	return errors.Join(s.send(ctx, msgDetach, nil), s.Close())
}

// Close leaves the process to itself, and ends the copying of its streams.
func (s *Session) Close() error {
	if s.Console != nil {
		s.Console.Close()
	}
	if s.input != nil {
		s.input.Close()
	}
	for _, t := range s.outputs {
		t.source.Close()
	}
	return s.conn.Close()
}
