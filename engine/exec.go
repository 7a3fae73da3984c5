package engine

import (
	"context"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/rootless"
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
	process.User.Username, process.User.Umask = c.user(), c.HostConfig.Umask
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
