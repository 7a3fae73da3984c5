package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/runtime"
)

// MonitorMain is the stage that supervises one container from its start to its end. It runs in the host's user
// namespace, in a session of its own, and is what a daemon would be elsewhere.
func MonitorMain() int {
	conn, err := stageConn()
	if err != nil {
		slog.Error("start the monitor", "error", err)
		return 1
	}
	message, err := conn.Recv()
	if err != nil {
		slog.Error("start the monitor", "error", err)
		return 1
	}
	var request startRequest
	if err := message.Decode(&request); err != nil {
		conn.Send(msgFailed, toFailure(err))
		return 1
	}
	return monitorContainer(conn, request, message.Files)
}

// monitorContainer starts the container of the request and stays with it to its end.
func monitorContainer(conn *wire.Conn, request startRequest, files []*os.File) int {
	m, err := newMonitor(request)
	if err != nil {
		closeFiles(files)
		conn.Send(msgFailed, toFailure(err))
		return 1
	}
	defer m.lock.release()
	first, err := request.Streams.take(files)
	if err == nil {
		err = m.start(first)
	}
	if err != nil {
		closeFiles(files)
		err = errors.Join(err, m.recordFailure(toFailure(err)))
		conn.Send(msgFailed, toFailure(err))
		return 1
	}
	conn.Send(msgStarted, startedReply{Pid: m.box.InitPid(), Warnings: m.warnings})
	m.clients.Go(func() { m.serveClient(conn, first) })
	m.supervise()
	return 0
}

// monitor is a container while it runs.
type monitor struct {
	engine   *Engine
	c        *Container
	lock     *lock
	log      *os.File // container.log
	stderr   *os.File // the stages' standard error
	size     WinSize
	before   Status // of the container when it was started
	warnings []string

	fuse     *fuseServer     // nil for a root without one
	slirp    *rootless.Slirp // nil for a network without one
	box      *runtime.Container
	listener *net.UnixListener
	stdin    *stdin
	out, err *output
	copying  sync.WaitGroup // the goroutines that pass the payload's output on

	clients      sync.WaitGroup // the goroutines that serve a client
	payloadEnded chan struct{}
	ended        chan struct{} // closed when exit holds and everything is taken down
	exit         Exit
}

func newMonitor(request startRequest) (*monitor, error) {
	e := &Engine{Dirs: request.Dirs}
	c, err := request.Dirs.load(request.ID)
	if err != nil {
		return nil, err
	}
	held, err := c.tryLock()
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("%w: container %s is already running or being removed", ErrConflict, c.Name)
	}
	if err != nil {
		return nil, err
	}
	if err := c.settle(); err != nil {
		held.release()
		return nil, err
	}
	c.setRunDir(request.Dirs)
	return &monitor{engine: e, c: c, lock: held, stderr: os.Stderr, size: request.Size, before: c.State.Status,
		payloadEnded: make(chan struct{}), ended: make(chan struct{})}, nil
}

// start brings the container up, or undoes what it did.
func (m *monitor) start(first [3]*os.File) (err error) {
	defer func() {
		if err != nil {
			m.tearDown()
			m.closeSocket()
		}
	}()
	ids, warnings, err := rootless.PlanMap(m.c.HostConfig.UsernsMode, rootless.CurrentCaller())
	if err != nil {
		return err
	}
	network, warning, err := m.c.chooseNetwork()
	if err != nil {
		return err
	}
	if warning != "" {
		warnings = append(warnings, warning)
	}
	m.warnings = warnings
	if err := m.prepare(network); err != nil {
		return err
	}
	if err := m.create(ids, network); err != nil {
		return err
	}
	m.connectStreams(first)
	if m.listener, err = listen(m.c.State.RunDir); err != nil {
		return err
	}
	// Recorded first: whoever sees what the payload does must find it running.
	if err := m.recordStart(); err != nil {
		return err
	}
	return m.box.Start()
}

// prepare makes the files and directories that the container needs while it runs.
func (m *monitor) prepare(network string) (err error) {
	if err := os.MkdirAll(m.rootDir(), 0o700); err != nil {
		return fmt.Errorf("create run directory: %w", err)
	}
	if m.log, err = os.OpenFile(m.c.path(logFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open container log: %w", err)
	}
	m.out, m.err = &output{stream: "stdout", log: m.log}, &output{stream: "stderr", log: m.log}
	return m.c.writeNetworkFiles(network)
}

func (m *monitor) rootDir() string { return filepath.Join(m.c.State.RunDir, "root") }

// create has the runtime set everything up but the payload.
func (m *monitor) create(ids rootless.Map, network string) error {
	spec, err := m.c.spec(ids)
	if err != nil {
		return err
	}
	config := runtime.Config{Spec: spec, Dir: m.rootDir(), Init: m.c.HostConfig.Init, MapIDs: ids.Write, LogFile: m.stderr}
	if err := m.chooseRoot(&config, ids); err != nil {
		return err
	}
	if network == networkSlirp {
		config.Network = m.attachNetwork
	}
	var theirs [3]*os.File
	if !m.c.Config.Tty {
		if theirs, err = m.makePipes(); err != nil {
			return err
		}
		defer closeFiles(theirs[:])
		config.Stdin, config.Stdout, config.Stderr = theirs[0], theirs[1], theirs[2]
	}
	if m.box, err = runtime.Create(context.Background(), config); err != nil {
		if cause := rootless.RequireUserNamespaces(); cause != nil {
			return fmt.Errorf("%w (%w)", err, cause)
		}
		return err
	}
	m.warnings = append(m.warnings, m.box.Warnings()...)
	return nil
}

// chooseRoot decides how the root filesystem appears, and starts the server of one of our own.
func (m *monitor) chooseRoot(config *runtime.Config, ids rootless.Map) error {
	if dir := m.c.HostConfig.Rootfs; dir != "" && !m.c.HostConfig.RootfsOverlay {
		config.RootKind, config.RootConfig = rootBind, bindRoot{Dir: dir}
		return nil
	}
	if err := rootless.RequireFuse(); err != nil {
		return err
	}
	stack, err := m.engine.stackOf(m.c)
	if err != nil {
		return err
	}
	if m.fuse, err = startFuse(stack, ids, m.stderr); err != nil {
		return err
	}
	config.RootKind, config.RootConfig, config.RootFD = rootFuse, fuseRoot{UID: ids.UIDs[0].Container, GID: ids.GIDs[0].Container}, m.fuse.serve
	return nil
}

// attachNetwork is called when the network namespace of process pid exists.
func (m *monitor) attachNetwork(pid int) error {
	ports, err := m.c.portMappings()
	if err != nil {
		return err
	}
	m.slirp, err = rootless.StartSlirp(context.Background(), rootless.SlirpConfig{PID: pid, RunDir: m.c.State.RunDir, Ports: ports})
	return err
}

// makePipes makes the payload's standard streams and returns its ends. Our ends of the outputs are copied from right
// away; that of the input waits for a client.
func (m *monitor) makePipes() (theirs [3]*os.File, err error) {
	if m.c.Config.OpenStdin {
		read, write, err := newPipe()
		if err != nil {
			return theirs, err
		}
		theirs[0], m.stdin = read, &stdin{sink: write, closes: m.c.Config.StdinOnce}
	} else if theirs[0], err = os.Open(os.DevNull); err != nil {
		return theirs, fmt.Errorf("create standard input: %w", err)
	}
	for i, out := range []*output{m.out, m.err} {
		read, write, err := newPipe()
		if err != nil {
			closeFiles(theirs[:])
			return theirs, err
		}
		theirs[i+1] = write
		m.copying.Go(func() {
			out.copyFrom(read)
			read.Close()
		})
	}
	return theirs, nil
}

// connectStreams attaches the client that started the container, before the payload can write anything.
func (m *monitor) connectStreams(first [3]*os.File) {
	if console := m.box.Console(); console != nil {
		m.resize(m.size)
		m.stdin = &stdin{sink: console}
		m.copying.Go(func() { m.out.copyFrom(console) })
	}
	m.attach(first)
}

func (m *monitor) attach(streams [3]*os.File) {
	if streams[0] != nil && m.stdin != nil {
		go m.stdin.copyFrom(streams[0])
	}
	if streams[1] != nil {
		m.out.attach(streams[1])
	}
	if streams[2] != nil {
		m.err.attach(streams[2])
	}
}

func (m *monitor) detach(streams [3]*os.File) {
	m.out.detach(streams[1])
	m.err.detach(streams[2])
	closeFiles(streams[:])
}

func (m *monitor) resize(size WinSize) {
	if size.Rows != 0 {
		// A terminal without a size works, and what is no terminal needs none; there is nobody to tell.
		m.box.Resize(size.Rows, size.Cols)
	}
}

// supervise serves clients until the payload ends, then takes everything down and records the end.
func (m *monitor) supervise() {
	go m.accept()
	go m.stopOnSignal()
	failed := m.watchServer()
	status, err := m.box.Wait()
	close(m.payloadEnded)
	m.exit.Code = status.Code
	if err != nil {
		m.exit = Exit{Code: CodeEngine, Error: err.Error()}
	}
	m.drain()
	m.tearDown()
	select {
	case m.exit.Error = <-failed:
	default:
	}
	if err := m.recordExit(); err != nil {
		slog.Error("record the end of the container", "error", err)
	}
	close(m.ended)
	m.closeSocket()
	m.clients.Wait()
}

// closeSocket goes last: until the end is recorded, those who find the container running must be able to ask.
func (m *monitor) closeSocket() {
	if m.listener != nil {
		m.listener.Close()
	}
	if err := os.RemoveAll(m.c.State.RunDir); err != nil {
		slog.Error("remove the run directory", "error", err)
	}
}

// watchServer kills the container when its filesystem server dies, and says so in the channel it returns. A server
// that ends without an error has seen its mount go away, which is what happens when the container ends.
func (m *monitor) watchServer() <-chan string {
	failed := make(chan string, 1)
	if m.fuse == nil {
		return failed
	}
	go func() {
		<-m.fuse.done
		if m.fuse.err == nil {
			return
		}
		failed <- fmt.Sprintf("the filesystem server died (%v)", m.fuse.err)
		m.box.Signal(syscall.SIGKILL) // an error means that it has ended already
	}()
	return failed
}

// stopOnSignal stops the container as the stop command does when the monitor itself is asked to end, as at a shutdown
// or the end of a login session.
func (m *monitor) stopOnSignal() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	<-asked
	sig, patience := m.c.stopMethod(nil)
	m.box.Signal(sig)
	select {
	case <-m.payloadEnded:
	case <-afterOrNever(patience):
		m.box.Signal(syscall.SIGKILL)
	}
}

// drain waits until what the payload has written is passed on. All writers are dead by now; that a client does not
// take its output must not keep the container's end from being recorded.
func (m *monitor) drain() {
	const patience = 5 * time.Second
	drained := make(chan struct{})
	go func() {
		m.copying.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(patience):
		slog.Error("pass the output on", "error", "a client does not take it")
	}
}

// tearDown ends everything that start began. It waits for each, so that nothing is left afterwards.
func (m *monitor) tearDown() {
	const patience = 2 * time.Second
	if m.box != nil {
		m.box.Close()
	}
	if m.slirp != nil {
		if err := m.slirp.Close(); err != nil {
			slog.Error("take the network down", "error", err)
		}
	}
	if m.fuse != nil {
		m.fuse.stop(patience)
	}
	if m.log != nil {
		m.log.Close()
	}
}

func (m *monitor) recordStart() error {
	m.c.State = State{Status: Running, Pid: m.box.InitPid(), MonitorPid: os.Getpid(), RunDir: m.c.State.RunDir, StartedAt: time.Now().UTC()}
	if m.slirp != nil {
		m.c.State.Ports = publishedPorts(m.slirp.Ports())
	}
	return m.c.writeState()
}

// recordFailure notes why the container did not start; one that was to be removed is.
func (m *monitor) recordFailure(f failure) error {
	if m.c.HostConfig.AutoRemove {
		return m.remove()
	}
	m.c.State = State{Status: m.before, RunDir: m.c.State.RunDir, ExitCode: f.Code, Error: f.Text}
	return m.c.writeState()
}

// recordExit notes how the container ended; with --rm it is removed instead.
func (m *monitor) recordExit() error {
	if m.c.HostConfig.AutoRemove {
		return m.remove()
	}
	m.c.State = State{Status: Exited, RunDir: m.c.State.RunDir, ExitCode: m.exit.Code, Error: m.exit.Error,
		StartedAt: m.c.State.StartedAt, FinishedAt: time.Now().UTC()}
	return m.c.writeState()
}

func (m *monitor) remove() error {
	defer m.engine.Close()
	return m.engine.erase(m.c.ID)
}
