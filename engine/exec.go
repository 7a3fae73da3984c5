package engine

import (
	"context"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/wire"
)

// ExecOptions describe a further process in a running container.
type ExecOptions struct {
	Args       []string
	Env        []string // over the container's own
	User       string   // empty: the container's
	WorkingDir string   // empty: the container's
	Tty        bool
	Privileged bool
	Detach     bool // with Tty: nobody takes the terminal
	Streams    streamSet
	Size       WinSize
}

// ExecInfo is what the monitor knows of a process that is executed beside the payload. It remembers a number of those
// that have ended, until the payload ends.
type ExecInfo struct {
	ID          string
	ContainerID string
	Options     ExecOptions // Streams, Size and Detach are those of its start
	Running     bool
	Pid         int  // on the host, while it runs
	ExitCode    *int // nil until it has ended; that of a failure where it could not be executed
}

// Exec creates and starts a process in the container and returns when it has started. With Tty the session's Console is
// its terminal and streams are not used; without, it gets those of streams that are not nil.
func (c *Container) Exec(ctx context.Context, options ExecOptions, streams Streams) (*Session, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	session := &Session{conn: conn}
	return session, session.execute(ctx, options.Tty, streams, func(set streamSet) (string, any) {
		options.Streams = set
		return msgExec, options
	})
}

// execute sends a request that starts a process, with pipes for the streams that are attached.
func (s *Session) execute(ctx context.Context, tty bool, streams Streams,
	request func(streamSet) (kind string, body any)) error {
	var set streamSet
	var files []*os.File
	if !tty {
		var err error
		files, err = s.pipes(streams, &set)
		defer wire.CloseFiles(files)
		if err != nil {
			s.Close()
			return err
		}
	}
	kind, body := request(set)
	return s.request(ctx, kind, body, files)
}

// pipes returns the process's ends of pipes for the streams that are attached.
func (s *Session) pipes(streams Streams, set *streamSet) (files []*os.File, err error) {
	input, err := s.pipeInput(streams.Stdin)
	if err != nil {
		return nil, err
	}
	if input != nil {
		set.Stdin, files = true, append(files, input)
	}
	for _, out := range []struct {
		file     *os.File
		attached *bool
	}{{streams.Stdout, &set.Stdout}, {streams.Stderr, &set.Stderr}} {
		if out.file == nil {
			continue
		}
		t, write, err := newTap(out.file)
		if err != nil {
			return files, err
		}
		s.outputs = append(s.outputs, t)
		*out.attached, files = true, append(files, write)
	}
	return files, nil
}

// execIDPart is how much of its container's id an exec's id starts with: who has the one finds the other by it.
const execIDPart = 24

// newExecID draws an id for an execution in a container.
func newExecID(random io.Reader, container string) (string, error) {
	id, err := newID(random)
	if err != nil {
		return "", err
	}
	return container[:execIDPart] + id[execIDPart:], nil
}

// noExec is the error of an id that no execution has.
func noExec(id string) error { return fault.Errorf(errdefs.ErrNotFound, "no such exec: %s", id) }

// LookupExec finds the container that the execution with the full id is, or was, in.
func (e *Engine) LookupExec(ctx context.Context, id string) (*Container, error) {
	if len(id) <= execIDPart {
		return nil, noExec(id)
	}
	c, err := e.Lookup(ctx, id[:execIDPart])
	if errdefs.IsNotFound(err) {
		return nil, noExec(id)
	}
	return c, err
}

// CreateExec makes an execution in a running container, to be started by StartExec.
func (c *Container) CreateExec(ctx context.Context, options ExecOptions) (ExecInfo, error) {
	return askFor[ExecInfo](ctx, c, msgExecCreate, options, msgExecInfo)
}

// StartExec starts an execution, once, and returns when it runs. It is connected as by Exec.
func (c *Container) StartExec(ctx context.Context, id string, streams Streams, size WinSize,
	detach bool) (*Session, error) {
	info, err := c.InspectExec(ctx, id)
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	session := &Session{conn: conn}
	return session, session.execute(ctx, info.Options.Tty, streams, func(set streamSet) (string, any) {
		return msgExecStart, execStart{ID: id, Detach: detach, Streams: set, Size: size}
	})
}

// InspectExec tells what an execution is doing, or how it ended.
func (c *Container) InspectExec(ctx context.Context, id string) (ExecInfo, error) {
	return askFor[ExecInfo](ctx, c, msgExecInspect, execRequest{ID: id}, msgExecInfo)
}

// ResizeExec changes the size of the terminal of an execution that runs.
func (c *Container) ResizeExec(ctx context.Context, id string, size WinSize) error {
	_, err := askFor[ExecInfo](ctx, c, msgExecResize, execRequest{ID: id, Size: size}, msgExecInfo)
	return err
}

// SignalExec sends a signal to an execution that runs.
func (c *Container) SignalExec(ctx context.Context, id string, sig syscall.Signal) error {
	_, err := askFor[ExecInfo](ctx, c, msgExecSignal, execRequest{ID: id, Signal: sig}, msgExecInfo)
	return err
}

// Execs lists the executions of a running container: those that were not started yet, those that run, and some that
// have ended. A container that does not run has none.
func (c *Container) Execs(ctx context.Context) ([]ExecInfo, error) {
	if err := c.refresh(); err != nil {
		return nil, c.goneError(err)
	}
	if !c.monitored {
		return nil, nil
	}
	return askFor[[]ExecInfo](ctx, c, msgExecList, nil, msgExecList)
}

// execIDs are the ids of the executions that have not ended. An inspection does not wait for a monitor that does not
// answer, and leaves them out then.
func (c *Container) execIDs(ctx context.Context) (ids []string) {
	if !c.monitored {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	list, err := askFor[[]ExecInfo](ctx, c, msgExecList, nil, msgExecList)
	if err != nil {
		return nil
	}
	for _, x := range list {
		if x.ExitCode == nil {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

// askFor sends the monitor a request that it answers at once, and returns the answer.
func askFor[A any](ctx context.Context, c *Container, kind string, body any, answer string) (a A, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerTime))
	err = conn.Within(ctx, func() error {
		if err := conn.Send(kind, body); err != nil {
			return err
		}
		message, err := receive(conn, answer)
		if err != nil {
			return err
		}
		return message.Decode(&a)
	})
	return a, err
}
