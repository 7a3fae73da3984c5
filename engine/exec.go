package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"

	api "github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/runtime"
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

// Exec runs a process in the container and returns when it has started. With Tty the session's Console is its
// terminal and streams are not used; without, it gets those of streams that are not nil.
func (c *Container) Exec(ctx context.Context, options ExecOptions, streams Streams) (*Session, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	session := &Session{conn: conn}
	if options.Tty {
		return session, session.request(ctx, msgExec, options, nil)
	}
	files, err := session.pipes(streams, &options.Streams)
	defer wire.CloseFiles(files)
	if err != nil {
		session.Close()
		return nil, err
	}
	return session, session.request(ctx, msgExec, options, files)
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

func (m *monitor) handleExec(conn *wire.Conn, request wire.Message) error {
	defer wire.CloseFiles(request.Files)
	var options ExecOptions
	if err := request.Decode(&options); err != nil {
		return err
	}
	streams, err := options.Streams.take(request.Files)
	if err != nil {
		return err
	}
	r := m.current()
	process, err := m.c.execProcess(options, r.ids)
	if err != nil {
		return err
	}
	id, err := newID(rand.Reader)
	if err != nil {
		return err
	}
	m.reportExec(execAction(api.ActionExecCreate, options.Args), id, nil)
	m.reportExec(execAction(api.ActionExecStart, options.Args), id, nil)
	running, err := r.box.Exec(context.Background(), runtime.ExecConfig{Process: process,
		Stdin: streams[0], Stdout: streams[1], Stderr: streams[2]})
	if err != nil {
		return err
	}
	wire.CloseFiles(request.Files) // the process has them; kept here, its readers would never see their end
	return m.serveExec(conn, running, options.Detach, id)
}

// serveExec tells the client that the process runs, and in the end how it ended. The client gets the terminal, if
// there is one: when it goes, the process's session is hung up. The terminal of a detached process is drained here.
func (m *monitor) serveExec(conn *wire.Conn, running *runtime.ExecProcess, detached bool, id string) error {
	var files []*os.File
	switch console := running.Console(); {
	case console == nil:
	case detached:
		go io.Copy(io.Discard, console)
	default:
		files = append(files, console)
	}
	err := conn.Send(msgStarted, startedReply{Pid: running.Pid}, files...)
	if !detached {
		running.Close()
	}
	status, waitErr := running.Wait(context.Background())
	running.Close()
	if waitErr == nil {
		m.reportExec(api.ActionExecDie, id, map[string]string{"exitCode": strconv.Itoa(status.Code)})
	}
	if err = errors.Join(err, waitErr); err != nil {
		return err
	}
	return conn.Send(msgExited, Exit{Code: status.Code})
}

// execProcess is the OCI description of a further process: like the payload but for what the options say.
func (c *Container) execProcess(options ExecOptions, ids rootless.Map) (*specs.Process, error) {
	security, err := parseSecurity(c.HostConfig.SecurityOpt)
	if err != nil {
		return nil, err
	}
	process := &specs.Process{}
	if err := c.setPrivileges(process, c.HostConfig.Privileged || options.Privileged); err != nil {
		return nil, err
	}
	process.Terminal = options.Tty
	process.Rlimits = c.HostConfig.rlimits()
	if options.Size.Rows != 0 {
		process.ConsoleSize = &specs.Box{Height: uint(options.Size.Rows), Width: uint(options.Size.Cols)}
	}
	process.Args = options.Args
	process.User.Username = c.user()
	if options.User != "" {
		process.User.Username = options.User
	}
	if err := checkUser(process.User.Username, ids); err != nil {
		return nil, err
	}
	process.Env = mergeEnv(slices.Clone(options.Env), c.environment(process.User.Username, options.Tty))
	process.Cwd = c.workingDir()
	if options.WorkingDir != "" {
		process.Cwd = options.WorkingDir
	}
	process.NoNewPrivileges = security.noNewPrivileges
	return process, nil
}
