package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/engine/events"
	"github.com/rcrun/rcrun/internal/own"
	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/runtime"
)

// MonitorMain is the stage that supervises one container from its start to its end. It runs in the host's user
// namespace, in a session of its own, and is what a daemon would be elsewhere.
func MonitorMain() int {
	conn, err := stage.Conn()
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
		return refuse(conn, err)
	}
	return monitorContainer(conn, request, message.Files)
}

// refuse tells the command that the container does not start, and returns the stage's exit code.
func refuse(conn *wire.Conn, err error) int {
	tell(conn, err)
	return 1
}

// monitorContainer starts the container of the request and stays with it to its end.
func monitorContainer(conn *wire.Conn, request startRequest, files []*os.File) int {
	m, err := newMonitor(request)
	if err != nil {
		wire.CloseFiles(files)
		return refuse(conn, err)
	}
	if len(files) > 0 {
		m.whole, files = files[0], files[1:]
	}
	streams, err := request.Streams.take(files)
	if err != nil {
		wire.CloseFiles(files)
		return refuse(conn, err)
	}
	defer m.journal.close()
	first := &attachment{conn: conn, streams: streams}
	if err := m.start(first); err != nil {
		err = errors.Join(err, m.recordFailure(ExplainLimit(err)))
		return refuse(conn, err)
	}
	conn.Send(msgStarted, startedReply{Pid: m.box.InitPid(), Warnings: m.warnings}) // an error shows in what follows
	m.sessions.Go(func() { m.serveAttached(first) })
	m.supervise()
	return 0
}

// monitor is a container while it runs.
type monitor struct {
	mu sync.Mutex // guards the state of c, and is held while that is written
	c  *Container // its state is read by state and changed by record

	root     rootPlan
	whole    *os.File // the program of the command that started it, which has the image store
	lock     *lock
	log      *logWriter
	journal  *journal
	before   Status // of the container when it was started
	size     WinSize
	warnings []string
	ids      rootless.Map

	fuse     *fuseServer // nil for a root without one
	uplink   *uplink     // nil for a network without one
	box      *runtime.Container
	sockets  []*net.UnixListener
	frozen   freezing
	stdin    *stdin         // nil where nobody can write to it
	out, err *output        // with a terminal, all is out
	copying  sync.WaitGroup // the goroutines that pass the payload's output on

	events      *events.Journal
	signals     sync.Mutex // held while a signal is sent and its event written
	stopAsked   bool       // by a stop, and not by a signal alone; guarded by signals
	endReported bool       // guarded by signals

	sessions     sync.WaitGroup // the goroutines that serve a connection
	payloadEnded chan struct{}
	ended        chan struct{} // closed when exit holds and everything is taken down
	exit         Exit
}

func newMonitor(request startRequest) (*monitor, error) {
	c, err := request.Dirs.load(request.ID)
	if err != nil {
		return nil, err
	}
	log := events.New(request.Dirs.Events())
	held, err := c.tryLock()
	if errors.Is(err, errLocked) {
		return nil, conflictf("container %s is already running or being removed", c.Name)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.settle(log), c.requireWhole(), c.checkRecord()); err != nil {
		held.release()
		return nil, err
	}
	journal, err := openJournal(c)
	if err != nil {
		held.release()
		return nil, err
	}
	c.setRunDir(request.Dirs)
	return &monitor{c: c, root: request.Root, lock: held, journal: journal, size: request.Size, before: c.State.Status,
		events: log, payloadEnded: make(chan struct{}), ended: make(chan struct{})}, nil
}

// start brings the container up, or undoes what it did.
func (m *monitor) start(first *attachment) (err error) {
	defer func() {
		if err != nil {
			m.tearDown()
			m.closeSocket()
		}
	}()
	ids, warnings, err := rootless.PlanMap(string(m.c.HostConfig.UsernsMode), rootless.CurrentCaller())
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
	m.ids, m.warnings = ids, append(warnings, m.c.warnOfUser()...)
	if err := m.prepare(network); err != nil {
		return err
	}
	if err := m.create(ids, network); err != nil {
		return err
	}
	m.connectStreams(first)
	if err := m.listen(); err != nil {
		return err
	}
	// Recorded first: a process that sees what the payload does must find it running.
	if err := m.recordStart(); err != nil {
		return err
	}
	if err := m.box.Start(context.Background()); err != nil {
		return err
	}
	m.reportStart()
	return nil
}

// prepare makes the files and directories that the container needs while it runs.
func (m *monitor) prepare(network string) (err error) {
	for _, dir := range []string{m.state().RunDir, m.rootDir()} {
		if err := own.MakeDir(dir); err != nil {
			return fmt.Errorf("make run directory: %w", err)
		}
	}
	if m.log, err = openLog(m.c.path(logFile), maxLogFile); err != nil {
		return err
	}
	m.out, m.err = &output{stream: "stdout", log: m.log}, &output{stream: "stderr", log: m.log}
	return m.c.writeNetworkFiles(network)
}

// socketDir is a directory for sockets: the run directory, or the container's own when that has been taken away.
func (m *monitor) socketDir() string {
	if err := own.MakeDir(m.state().RunDir); err != nil {
		return m.c.dir()
	}
	return m.state().RunDir
}

func (m *monitor) rootDir() string { return filepath.Join(m.state().RunDir, "root") }

// create has the runtime set everything up but the payload.
func (m *monitor) create(ids rootless.Map, network string) error {
	spec, err := m.c.spec(ids)
	if err != nil {
		return err
	}
	config := runtime.Config{Spec: spec, Dir: m.rootDir(), Init: m.c.HostConfig.wantsInit(), MapIDs: ids.Write, OpenMounts: m.c.HostConfig.Privileged,
		LogFile: m.journal.stages}
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
		defer wire.CloseFiles(theirs[:])
		config.Stdin, config.Stdout, config.Stderr = theirs[0], theirs[1], theirs[2]
	}
	if m.box, err = runtime.Create(context.Background(), config); err != nil {
		if cause := rootless.RequireUserNamespaces(); cause != nil {
			return fmt.Errorf("%w (%w)", err, cause)
		}
		return err
	}
	m.warnings = append(m.warnings, m.box.Warnings()...)
	if m.uplink != nil && m.uplink.slirp.Warning() != "" {
		m.warnings = append(m.warnings, m.uplink.slirp.Warning())
	}
	return nil
}

// chooseRoot decides how the root filesystem appears, and starts the server of one of our own.
func (m *monitor) chooseRoot(config *runtime.Config, ids rootless.Map) error {
	switch {
	case m.root.Bind != nil:
		config.RootKind, config.RootConfig = rootBind, m.root.Bind
	case m.root.Overlay != nil:
		config.RootKind, config.RootConfig = rootOverlay, m.root.Overlay
	case m.root.Union != nil:
		return m.serveRoot(config, ids)
	default:
		return errors.New("start the container: it was not told what its root filesystem is")
	}
	return nil
}

// serveRoot starts the server of a union of our own.
func (m *monitor) serveRoot(config *runtime.Config, ids rootless.Map) (err error) {
	if err := rootless.RequireFuse(); err != nil {
		return err
	}
	if m.fuse, err = startFuse(*m.root.Union, ids, m.journal.stages); err != nil {
		return err
	}
	config.RootKind, config.RootConfig, config.RootFD = rootFuse, fuseRoot{UID: ids.UIDs[0].Container, GID: ids.GIDs[0].Container}, m.fuse.serve
	return nil
}

// attachNetwork is called when the network namespace of process pid exists.
func (m *monitor) attachNetwork(ctx context.Context, pid int) error {
	ports, err := m.c.portMappings()
	if err != nil {
		return err
	}
	m.uplink, err = openUplink(ctx, rootless.SlirpConfig{PID: pid, Ports: ports}, m.socketDir)
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
			wire.CloseFiles(theirs[:])
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
func (m *monitor) connectStreams(first *attachment) {
	if console := m.box.Console(); console != nil {
		m.resize(m.size)
		m.stdin = &stdin{sink: console}
		m.copying.Go(func() { m.out.copyFrom(console) })
	}
	m.attach(first)
	if first.isAttached() {
		m.report(api.ActionAttach, nil)
	}
}
