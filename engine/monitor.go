package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/rcrun/rcrun/engine/events"
	"github.com/rcrun/rcrun/internal/own"
	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/internal/wire"
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
	if err := decodeRequest(message, &request); err != nil {
		return refuse(conn, err)
	}
	m, first, err := newMonitor(conn, request, message.Files)
	if err != nil {
		return refuse(conn, err)
	}
	defer m.journal.close()
	return m.oversee(first)
}

// refuse tells the command that the container does not start, and returns the stage's exit code.
func refuse(conn *wire.Conn, err error) int {
	tell(conn, err)
	return 1
}

// monitor supervises a container. It holds the container's lock, its log and its sockets for as long as it lives, and
// knows those who are attached. What belongs to one run of the payload is in run.
type monitor struct {
	mu   sync.Mutex // guards run, over and the state of c, and is held while the state is written
	c    *Container // its state is read by state and changed by record
	run  *run       // the one that goes on, or the last; nil before the first
	over bool       // the lock is gone, and with it the right to write the state

	root    rootPlan
	whole   *os.File // the program of the command that started it, which has the image store
	lock    *lock
	log     *logWriter
	journal *journal
	before  Status // of the container when it was started
	size    WinSize

	events *events.Journal

	sockets  []*net.UnixListener
	waiters  []*waiter // those who waited for the start
	out, err *output   // with a terminal, all is out

	sessions sync.WaitGroup // the goroutines that serve a connection
	ended    chan struct{}  // closed when exit holds and everything is taken down
	exit     Exit
}

// newMonitor takes the container of a request, and the files that came with it. The client that sent it is attached
// first.
func newMonitor(conn *wire.Conn, request startRequest, files []*os.File) (*monitor, *attachment, error) {
	m, err := takeContainer(request)
	if err != nil {
		wire.CloseFiles(files)
		return nil, nil, err
	}
	if len(files) > 0 {
		m.whole, files = files[0], files[1:]
	}
	streams, err := request.Streams.take(files)
	if err != nil {
		wire.CloseFiles(files)
		m.lock.release()
		return nil, nil, err
	}
	return m, &attachment{conn: conn, streams: streams}, nil
}

// takeContainer locks the container of a request, and puts its record right.
func takeContainer(request startRequest) (*monitor, error) {
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
	err = c.checkVersion() // before anything is written
	if err == nil {
		err = errors.Join(c.settle(log), c.requireWhole(), c.checkRecord())
	}
	if err != nil {
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
		events: log, ended: make(chan struct{})}, nil
}

// current returns the run that goes on, or the last one.
func (m *monitor) current() *run {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run
}

// open makes the files, directories and sockets that the container has for as long as its monitor lives.
func (m *monitor) open() (err error) {
	for _, dir := range []string{m.state().RunDir, m.rootDir()} {
		if err := own.MakeDir(dir); err != nil {
			return fmt.Errorf("make run directory: %w", err)
		}
	}
	if m.log, err = openLog(m.c.path(logFile), maxLogFile); err != nil {
		return err
	}
	m.out, m.err = &output{stream: "stdout", log: m.log}, &output{stream: "stderr", log: m.log}
	return m.listen()
}

// socketDir is a directory for sockets: the run directory, or the container's own when that has been taken away.
func (m *monitor) socketDir() string {
	if err := own.MakeDir(m.state().RunDir); err != nil {
		return m.c.dir()
	}
	return m.state().RunDir
}

func (m *monitor) rootDir() string { return filepath.Join(m.state().RunDir, "root") }
