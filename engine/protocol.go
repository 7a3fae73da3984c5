package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/own"
	"github.com/rcrun/rcrun/internal/strictjson"
	"github.com/rcrun/rcrun/internal/wire"
)

// The stages of this package: argv[0] of the re-executed binary tells it what it is.
const (
	MonitorStage = "rcrun-monitor"
	EraseStage   = "rcrun-erase" // of the whole program: it needs the image store
)

// The messages between a command and a monitor. A command opens with one of the requests; where the request has
// streams, the files that streamSet counts come with it. The monitor answers started (or, to signal and stop, done),
// and in the end exited; or an error, at any time. In between the command may send resize, signal and detach, and the
// monitor hangup.
const (
	msgStart  = "start"  // startRequest, the command's program, streams; over the inherited socket, once
	msgAttach = "attach" // attachRequest, streams
	msgExec   = "exec"   // ExecOptions, streams
	// Of exec objects. All but the start are answered with execInfo, or with execList.
	msgExecCreate  = "execCreate"  // ExecOptions
	msgExecStart   = "execStart"   // execStart, streams; answered as exec
	msgExecInspect = "execInspect" // execRequest
	msgExecResize  = "execResize"  // execRequest
	msgExecSignal  = "execSignal"  // execRequest
	msgExecList    = "execList"    // nothing; []ExecInfo
	msgExecInfo    = "execInfo"    // ExecInfo

	msgSignal  = "signal"  // signalRequest
	msgStop    = "stop"    // StopOptions; answered with done once the stop is under way, and then as wait
	msgWait    = "wait"    // nothing
	msgDetach  = "detach"  // nothing: the user leaves the container to itself
	msgResize  = "resize"  // WinSize
	msgStarted = "started" // startedReply
	msgDone    = "done"    // nothing
	msgExited  = "exited"  // Exit
	msgFreeze  = "freeze"  // nothing; the filesystem is still until the command closes the connection
	msgFrozen  = "frozen"  // nothing
	msgHangup  = "hangup"  // nothing: the command's output has no reader any more
)

// The messages to the process that erases a monitor's container. It answers the second one with done or an error.
const (
	msgPrepare = "prepare" // eraseRequest
	msgErase   = "erase"   // nothing, the container's lock
)

type eraseRequest struct {
	Dirs Dirs
	ID   string
}

type startRequest struct {
	Dirs    Dirs
	ID      string
	Root    rootPlan
	Streams streamSet
	Size    WinSize
}

type attachRequest struct {
	Streams streamSet
	Size    WinSize
}

type signalRequest struct{ Signal syscall.Signal }

type startedReply struct {
	Pid      int
	ExecID   string // of an execution
	Warnings []string
}

// WinSize is the size of a terminal in characters; zero means unknown.
type WinSize struct{ Rows, Cols uint16 }

// Exit is how a container, or a process executed in it, ended.
type Exit struct {
	Code  int    // 128+n where signal n killed it
	Error string // what rcrun itself has to say about it, usually nothing
}

// streamSet says which of the three standard streams come with a message, in this order.
type streamSet struct{ Stdin, Stdout, Stderr bool }

// take assigns received files to the streams that the set names.
func (s streamSet) take(files []*os.File) (stdio [3]*os.File, err error) {
	for i, given := range []bool{s.Stdin, s.Stdout, s.Stderr} {
		if !given {
			continue
		}
		if len(files) == 0 {
			return stdio, errors.New("receive streams: fewer files than announced")
		}
		stdio[i], files = files[0], files[1:]
	}
	if len(files) > 0 {
		return stdio, errors.New("receive streams: more files than announced")
	}
	return stdio, nil
}

// receive waits for a message of the given kind. What the monitor answers instead is a *wire.Error.
func receive(conn *wire.Conn, kind string) (wire.Message, error) {
	m, err := conn.Recv()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return m, fault.Errorf(errdefs.ErrUnavailable, "wait for the monitor: it does not answer: is it stopped?")
	}
	if err != nil {
		return m, fmt.Errorf("wait for the monitor: %w", err)
	}
	return m, adviseVersion(conn, m.Expect(kind))
}

// adviseVersion says what to do where a monitor of another version refuses a request because it does not know it.
func adviseVersion(conn *wire.Conn, err error) error {
	peer := conn.PeerVersion()
	switch {
	case peer == wire.Version || !isAnswer(err):
		return err
	case peer == 1 && strings.HasPrefix(err.Error(), "unknown request"):
		err = fault.As(errdefs.ErrNotImplemented, err)
	case !errdefs.IsNotImplemented(err):
		return err
	}
	return fmt.Errorf("%w (the monitor of the container speaks version %d of the protocol, and this program version "+
		"%d: stop the container and start it again, so that it gets a monitor of this version)", err, peer,
		wire.Version)
}

// decodeRequest decodes what a command asks for. A field that this version does not know asks for something that it
// cannot do, so the request is refused.
func decodeRequest(request wire.Message, body any) error {
	if err := strictjson.Decode(request.Body, body); err != nil {
		return fault.Errorf(errdefs.ErrNotImplemented, "decode %s request: %w", request.Kind, err)
	}
	return nil
}

const socketName = "sock"

// listen makes the container's sockets: in the run directory, and one more in the container's own, since the end of a
// login session may take the run directory away. A filesystem that the second cannot be made on has none.
func (m *monitor) listen() error {
	listener, err := listen(m.state().RunDir, socketName)
	if err != nil {
		return err
	}
	m.sockets = append(m.sockets, listener)
	if listener, err := listen(m.c.dir(), socketName); err == nil {
		m.sockets = append(m.sockets, listener)
	}
	return nil
}

// dialTime is how long a monitor may take to be found: it may be just about to record its end.
const dialTime = 5 * time.Second

// dial connects to the monitor of a running container. The container may have ended, or ended and started, since its
// record was read.
func (c *Container) dial(ctx context.Context) (conn *wire.Conn, err error) {
	fresh := c.monitored
	err = c.retry(ctx, func() (time.Duration, error) {
		if !fresh {
			if err := c.refresh(); err != nil {
				return 0, c.goneError(err)
			}
		}
		fresh = false
		conn, err = c.dialNow()
		if errdefs.IsUnavailable(err) {
			return dialTime, err
		}
		return 0, err
	})
	return conn, err
}

// dialNow connects to the monitor of a container whose record has just been read.
func (c *Container) dialNow() (*wire.Conn, error) {
	if !c.monitored {
		return nil, conflictf("container %s is not running", c.Name)
	}
	sock, err := c.tryDial()
	if err != nil {
		return nil, err
	}
	return c.trust(sock)
}

// trust makes sure that the monitor is a process of the caller's before it is told anything.
func (c *Container) trust(sock *net.UnixConn) (*wire.Conn, error) {
	if err := own.CheckPeer(sock); err != nil {
		sock.Close()
		return nil, fmt.Errorf("connect to the monitor of %s: %w", c.Name, err)
	}
	return wire.New(sock), nil
}

func (c *Container) tryDial() (*net.UnixConn, error) {
	sock, err := dialIn(c.State.RunDir, socketName)
	if err == nil {
		return sock, nil
	}
	if sock, err := dialIn(c.dir(), socketName); err == nil {
		return sock, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, &RunDirError{Container: c.Name, Dir: c.State.RunDir}
	}
	return nil, fault.Errorf(errdefs.ErrUnavailable, "connect to the monitor of %s: %w", c.Name, err)
}

// goneError says of a record that is not there any more that the container was removed.
func (c *Container) goneError(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fault.Errorf(errdefs.ErrNotFound, "no such container: %s was removed", c.Name)
	}
	return err
}
