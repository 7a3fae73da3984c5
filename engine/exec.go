package engine

import (
	"errors"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rcrun/rcrun/internal/wire"
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
	Streams    streamSet
	Size       WinSize
}

// Exec runs a process in the container and returns when it has started. With Tty the session's Console is its
// terminal and streams are not used; without, it gets those of streams that are not nil.
func (c *Container) Exec(options ExecOptions, streams Streams) (*Session, error) {
	conn, err := c.dial()
	if err != nil {
		return nil, err
	}
	session := &Session{conn: conn}
	var files []*os.File
	if !options.Tty {
		options.Streams, files, err = session.pipeAll(streams)
		if err != nil {
			session.Close()
			return nil, err
		}
	}
	err = conn.Send(msgExec, options, files...)
	closeFiles(files)
	if err == nil {
		err = session.awaitStart()
	}
	if err != nil {
		session.Close()
		return nil, err
	}
	return session, nil
}

func (m *monitor) handleExec(conn *wire.Conn, request wire.Message) error {
	defer closeFiles(request.Files)
	var options ExecOptions
	if err := request.Decode(&options); err != nil {
		return err
	}
	streams, err := options.Streams.take(request.Files)
	if err != nil {
		return err
	}
	process, err := m.c.execProcess(options)
	if err != nil {
		return err
	}
	running, err := m.box.Exec(runtime.ExecConfig{Process: process, Stdin: streams[0], Stdout: streams[1], Stderr: streams[2]})
	if err != nil {
		return err
	}
	closeFiles(request.Files) // the process has them; kept here, its readers would never see their end
	return m.serveExec(conn, running)
}

// serveExec tells the client that the process runs, and in the end how it ended.
func (m *monitor) serveExec(conn *wire.Conn, running *runtime.ExecProcess) error {
	var console []*os.File
	if file := running.Console(); file != nil {
		console = append(console, file)
	}
	err := conn.Send(msgStarted, startedReply{Pid: running.Pid}, console...)
	running.Close() // the client has the terminal now: when it goes, the process's session is hung up
	status, waitErr := running.Wait()
	if err = errors.Join(err, waitErr); err != nil {
		return err
	}
	return conn.Send(msgExited, Exit{Code: status.Code})
}

// execProcess is the OCI description of a further process: like the payload but for what the options say.
func (c *Container) execProcess(options ExecOptions) (*specs.Process, error) {
	security, err := parseSecurity(c.HostConfig.SecurityOpt)
	if err != nil {
		return nil, err
	}
	process := &specs.Process{}
	if err := c.setPrivileges(process, c.HostConfig.Privileged || options.Privileged); err != nil {
		return nil, err
	}
	process.Terminal = options.Tty
	process.Args = options.Args
	process.Env = mergeEnv(slices.Clone(options.Env), c.environment(options.Tty))
	process.Cwd = c.workingDir()
	if options.WorkingDir != "" {
		process.Cwd = options.WorkingDir
	}
	process.User.Username = c.user()
	if options.User != "" {
		process.User.Username = options.User
	}
	process.NoNewPrivileges = security.noNewPrivileges
	return process, nil
}
