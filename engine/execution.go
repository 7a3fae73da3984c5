package engine

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	api "github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/runtime"
)

// execution is a further process of a container's as an object of its monitor's: created, then started, and ended.
type execution struct {
	mu      sync.Mutex
	info    ExecInfo             // guarded by mu
	claimed bool                 // a client has started it; guarded by mu
	process *runtime.ExecProcess // nil before it runs; guarded by mu
}

// execTable is the executions of one run of the payload.
type execTable struct {
	mu    sync.Mutex
	byID  map[string]*execution
	ended []string // the oldest first
}

const (
	// maxExecs is how many executions there may be that have not ended.
	maxExecs = 1000
	// keptExecs is how many are remembered of those that have ended.
	keptExecs = 100
)

// create adds an execution.
func (t *execTable) create(container string, options ExecOptions) (*execution, error) {
	if len(options.Args) == 0 {
		return nil, invalidf("exec: no command specified")
	}
	id, err := newExecID(rand.Reader, container)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID)-len(t.ended) >= maxExecs {
		return nil, conflictf("exec: the container has %d processes of exec already", maxExecs)
	}
	if t.byID == nil {
		t.byID = map[string]*execution{}
	}
	x := &execution{info: ExecInfo{ID: id, ContainerID: container, Options: options}}
	t.byID[id] = x
	return x, nil
}

// retire counts an execution as ended, and forgets one that ended long before.
func (t *execTable) retire(x *execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = append(t.ended, x.info.ID)
	if len(t.ended) > keptExecs {
		delete(t.byID, t.ended[0])
		t.ended = t.ended[1:]
	}
}

func (t *execTable) find(id string) (*execution, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.byID[id]; x != nil {
		return x, nil
	}
	return nil, noExec(id)
}

// list returns what is known of all executions, in the order of their ids.
func (t *execTable) list() []ExecInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []ExecInfo{}
	for _, x := range t.byID {
		list = append(list, x.snapshot())
	}
	slices.SortFunc(list, func(a, b ExecInfo) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func (x *execution) snapshot() ExecInfo {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.info
}

// claim makes the caller the one who starts it: that is done once.
func (x *execution) claim(start execStart) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.claimed {
		return conflictf("exec %s has been started already", ShortID(x.info.ID))
	}
	x.claimed = true
	x.info.Options.Detach, x.info.Options.Streams, x.info.Options.Size = start.Detach, start.Streams, start.Size
	return nil
}

// began notes that the process runs.
func (x *execution) began(process *runtime.ExecProcess) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.process, x.info.Running, x.info.Pid = process, true, process.Pid
}

// over notes how it ended, and lets go of the process.
func (x *execution) over(code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.info.Running, x.info.Pid, x.info.ExitCode = false, 0, &code
	if x.process != nil {
		x.process.Close()
	}
}

// running returns the process, or an error for one that does not run.
func (x *execution) running() (*runtime.ExecProcess, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.info.Running {
		return nil, conflictf("exec %s is not running", ShortID(x.info.ID))
	}
	return x.process, nil
}

func (x *execution) resize(size WinSize) error {
	process, err := x.running()
	if err != nil || size.Rows == 0 {
		return err
	}
	return process.Resize(size.Rows, size.Cols)
}

func (x *execution) signal(sig syscall.Signal) error {
	process, err := x.running()
	if err != nil {
		return err
	}
	return process.Signal(sig)
}

// createExec adds an execution of the options.
func (r *run) createExec(options ExecOptions) (*execution, error) {
	x, err := r.execs.create(r.m.c.ID, options)
	if err == nil {
		r.m.reportExec(execAction(api.ActionExecCreate, options.Args), x.info.ID, nil)
	}
	return x, err
}

// startExec starts an execution with the streams that came with the request, and serves its client until it has ended.
func (r *run) startExec(conn *wire.Conn, x *execution, start execStart, request wire.Message) error {
	streams, err := start.Streams.take(request.Files)
	if err == nil {
		err = x.claim(start)
	}
	if err != nil {
		return err
	}
	defer r.execs.retire(x)
	r.m.reportExec(execAction(api.ActionExecStart, x.info.Options.Args), x.info.ID, nil)
	process, err := r.execute(conn, x, streams)
	if err != nil {
		x.over(ExitCode(err))
		return err
	}
	x.began(process)
	wire.CloseFiles(request.Files) // the process has them; kept here, its readers would never see their end
	x.serve(conn, process, start.Detach, func() { r.m.reportExec(api.ActionExecDetach, x.info.ID, nil) })
	code, err := x.await(process)
	if err != nil {
		return err
	}
	r.m.reportExec(api.ActionExecDie, x.info.ID, map[string]string{"exitCode": strconv.Itoa(code)})
	return conn.Send(msgExited, Exit{Code: code})
}

// execute starts the process. It gives up when the client goes away before the process runs, because the container may
// serve the filesystem of the working directory and not answer.
func (r *run) execute(conn *wire.Conn, x *execution, streams [3]*os.File) (process *runtime.ExecProcess, err error) {
	config := runtime.ExecConfig{Stdin: streams[0], Stdout: streams[1], Stderr: streams[2]}
	if config.Process, err = r.m.c.execProcess(x.snapshot().Options, r.ids); err != nil {
		return nil, err
	}
	err = conn.WhileConnected(context.Background(), func(ctx context.Context) error {
		process, err = r.box.Exec(ctx, config)
		return err
	})
	return process, err
}

// serve tells the client that the process runs, and does from then on what the client says. The client gets the
// terminal, if there is one. The terminal of a detached process is drained here. left is called when a client leaves on
// purpose.
func (x *execution) serve(conn *wire.Conn, process *runtime.ExecProcess, detached bool, left func()) {
	var files []*os.File
	switch console := process.Console(); {
	case console == nil:
	case detached:
		go io.Copy(io.Discard, console)
	default:
		files = append(files, console)
	}
	conn.Send(msgStarted, startedReply{Pid: process.Pid, ExecID: x.info.ID}, files...) // an error shows in obey
	go x.obey(conn, len(files) > 0, left)
}

// await waits for the end of the process, and notes how it ended.
func (x *execution) await(process *runtime.ExecProcess) (code int, err error) {
	status, err := process.Wait(context.Background())
	x.over(status.Code)
	return status.Code, err
}

// obey does what the client says until it goes away. When a client goes that has the terminal, the process's session is
// hung up, because no other process has the terminal open.
func (x *execution) obey(conn *wire.Conn, terminal bool, left func()) {
	for {
		message, err := conn.Recv()
		if err != nil {
			break
		}
		wire.CloseFiles(message.Files)
		var size WinSize
		var body signalRequest
		switch {
		case message.Kind == msgResize && message.Decode(&size) == nil:
			x.resize(size) // an error of this or of signalling means that it has ended, which the client is told
		case message.Kind == msgSignal && message.Decode(&body) == nil:
			x.signal(body.Signal)
		case message.Kind == msgDetach:
			left()
		}
	}
	if process, err := x.running(); err == nil && terminal {
		process.Console().Close()
	}
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
