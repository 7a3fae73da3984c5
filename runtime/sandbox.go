package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/wire"
)

const stageSandbox = "sandbox"

// wireFD is the descriptor at which a stage finds its socket to the creator.
const wireFD = 3

// SandboxMain runs the stage SandboxStage: it makes the container, serves execs and ends with the container. roots are
// the root filesystems that a Config may name. It returns an exit code.
func SandboxMain(roots map[string]RootFactory) int {
	// The kernel kills init when the thread that forked it ends, so this thread must stay to the end.
	goruntime.LockOSThread()
	return stageMain(stageSandbox, func(conn *wire.Conn) error {
		s := &sandbox{creator: conn, files: make(chan unix.Rlimit, 1)}
		go s.findFileLimit()
		if err := s.create(roots); err != nil {
			s.destroy()
			return err
		}
		return s.serve()
	})
}

// stageMain runs a stage that speaks over its wire, on which it reports what goes wrong.
func stageMain(stage string, run func(*wire.Conn) error) int {
	if err := protectSelf(); err != nil {
		os.Stderr.WriteString("rcrun: " + stage + ": " + err.Error() + "\n")
		return 1
	}
	conn, err := wire.FromFile(os.NewFile(wireFD, "wire"))
	if err != nil {
		os.Stderr.WriteString("rcrun: " + stage + ": " + err.Error() + "\n")
		return 1
	}
	defer conn.Close()
	if err := run(conn); err != nil {
		conn.SendError(stage, wire.Errorf(stage, "run", "", err)) // if this fails, there is no other way to report it
		return 1
	}
	return 0
}

// sandbox is the state of the stage.
type sandbox struct {
	creator *wire.Conn
	config  sandboxConfig
	ids     idMaps
	devpts  *os.File // the container's, or nil

	files chan unix.Rlimit // receives the limit of open files of a payload that has none

	init  *child     // the container's first process
	stdio []*os.File // its standard files, until it has them
	own   []int      // those that must belong to the payload's user

	mu      sync.Mutex
	running bool           // guarded by mu: the payload has been executed
	ended   bool           // guarded by mu: no exec is accepted any more
	execs   sync.WaitGroup // Add is called only under mu, and not once ended is set

	starting sync.Mutex
	answered bool // guarded by starting: the creator has been told how its start went, or that there is none
}

// create brings the container to the point where only the payload's execution is left.
func (s *sandbox) create(roots map[string]RootFactory) error {
	stdio, err := s.creator.Expect(msgConfig, &s.config, 3)
	if err != nil {
		return err
	}
	s.stdio = stdio
	defer func() { wire.CloseFiles(s.stdio) }()
	if _, err := s.creator.Expect(msgMapped, nil, 0); err != nil {
		return err
	}
	unix.Umask(0o022) // so that the modes of mount points do not depend on the caller's umask
	if s.ids, err = readIDMaps(); err != nil {
		return wire.Errorf(stageSandbox, "read id maps", "", err)
	}
	if err := s.prepareHost(); err != nil {
		return err
	}
	if err := s.mountRoot(roots); err != nil {
		return err
	}
	trees, err := cloneSources(s.config.Spec.Mounts)
	defer wire.CloseFiles(trees)
	if err != nil {
		return err
	}
	if err := s.enterRootDir(); err != nil {
		return err
	}
	if err := s.bearInit(); err != nil {
		return err
	}
	ready, master, err := s.furnish(trees)
	if err != nil {
		return err
	}
	if master != nil {
		defer master.Close()
	}
	if err := s.settleInit(); err != nil {
		return err
	}
	return s.report(ready, master)
}

// findFileLimit runs while the container is made, because it takes its time. Where the host forbids tracing processes,
// the payload keeps the raised limit.
func (s *sandbox) findFileLimit() {
	limit, err := fileLimit()
	if err != nil {
		unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) // which succeeded before
	}
	s.files <- limit
}

// prepareHost separates the sandbox from the host where the new namespaces do not.
func (s *sandbox) prepareHost() error {
	// Binds that ask for it must see what the host mounts later, but the host must not see what is mounted here.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return wire.Errorf(stageSandbox, "stop mount propagation from", "/", err)
	}
	if err := joinNamespaces(s.config.Spec); err != nil {
		return wire.Errorf(stageSandbox, "join namespaces", "", err)
	}
	return nil
}

// mountRoot mounts the root filesystem on the working directory and sends the creator what came of it.
func (s *sandbox) mountRoot(roots map[string]RootFactory) error {
	factory := roots[s.config.RootKind]
	if factory == nil {
		return wire.Errorf(stageSandbox, "mount root", "", fmt.Errorf("unknown kind of root %q", s.config.RootKind))
	}
	root, err := factory(s.config.Root)
	if err != nil {
		return wire.Errorf(stageSandbox, "configure root", s.config.RootKind, err)
	}
	fd, err := root.Mount(".")
	if err != nil {
		return wire.Errorf(stageSandbox, "mount root", s.config.RootKind, err)
	}
	if err := s.creator.Send(msgRoot, rootMounted{FD: fd != nil}); err != nil || fd == nil {
		return err
	}
	defer fd.Close()
	return s.creator.Send(msgRootFD, nil, fd)
}

// enterRootDir becomes user 0 and goes from the directory that the root was mounted on to the root itself. Only the
// caller may be able to reach that directory, and only user 0 to enter the root, so an O_PATH descriptor leads from one
// to the other. The way goes through the parent of the working directory alone, because another process may have put
// something else at the whole path by now.
func (s *sandbox) enterRootDir() error {
	fd, err := unix.Open("../"+filepath.Base(s.config.Dir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return wire.Errorf(stageSandbox, "open root", s.config.Dir, err)
	}
	defer unix.Close(fd)
	if err := s.ids.becomeRoot(); err != nil {
		return wire.Errorf(stageSandbox, "become user 0", "", err)
	}
	if err := unix.Fchdir(fd); err != nil {
		return wire.Errorf(stageSandbox, "enter root", s.config.Dir, err)
	}
	return nil
}

// report tells the creator that the container has been created.
func (s *sandbox) report(ready ready, master *os.File) error {
	if master != nil {
		if err := s.creator.Send(msgConsole, nil, master); err != nil {
			return err
		}
	}
	return s.creator.Send(msgCreated, created{Pid: s.init.pid, Warnings: ready.warnings}, s.init.pidfd)
}

// serve runs until the container has ended, and reports how it ended.
func (s *sandbox) serve() error {
	go s.listen()
	status, err := s.init.wait()
	if err != nil {
		return wire.Errorf(stageSandbox, "wait for init", "", err)
	}
	if err := s.refuseStart(); err != nil {
		return err
	}
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	if err := s.creator.Send(msgExit, exitStatus(status)); err != nil {
		return err
	}
	s.execs.Wait() // which is short: their processes were in the pid namespace that has just ended
	return nil
}

// exitStatus returns how a process ended.
func exitStatus(status unix.WaitStatus) ExitStatus {
	if status.Signaled() {
		return ExitStatus{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}
	}
	return ExitStatus{Code: status.ExitStatus()}
}

// listen serves the creator's requests; the end of its wire is the end of the container.
func (s *sandbox) listen() {
	defer s.init.kill()
	for {
		m, err := s.creator.Recv()
		if err != nil {
			return
		}
		switch {
		case m.Kind == msgStart:
			go s.start()
		case m.Kind == msgExec && len(m.Files) == 4:
			var request execRequest
			if err = json.Unmarshal(m.Body, &request); err == nil {
				s.takeExec(request, m.Files)
			}
		case m.Kind == msgSync && len(m.Files) == 1:
			go s.sync(m.Files[0])
		case m.Kind == msgDial && len(m.Files) == 1:
			go s.dial(m)
		default:
			err = fmt.Errorf("unexpected message %s", m.Kind)
		}
		if err != nil {
			return
		}
	}
}

// takeExec starts to serve an exec; several may run at once. A request that comes after the end finds its wire closed.
// One that comes before the payload runs is refused, because until then nothing in the container may look at init.
func (s *sandbox) takeExec(request execRequest, files []*os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		wire.CloseFiles(files)
		return
	}
	if !s.running {
		refuseExec(files)
		return
	}
	s.execs.Go(func() { s.exec(request, files) })
}

func refuseExec(files []*os.File) {
	defer wire.CloseFiles(files[1:])
	conn, err := wire.FromFile(files[0])
	if err != nil {
		return // the creator sees the end of the wire
	}
	defer conn.Close()
	early := fault.Errorf(errdefs.ErrConflict, "the container has not been started")
	// A creator that has gone needs no answer.
	conn.SendError(stageExec, wire.Errorf(stageExec, "enter the container", "", early))
}

// start has init execute the payload, and tells the creator how that went.
func (s *sandbox) start() {
	s.starting.Lock()
	defer s.starting.Unlock()
	if s.answered {
		return
	}
	s.answered = true
	err := s.startInit()
	// If the creator cannot be told, it has gone, which listen notices.
	if err != nil {
		s.creator.SendError(stageInit, err)
		s.init.release() // init ends when its socket does
		return
	}
	s.init.release()
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	s.creator.Send(msgStarted, started{Pid: s.init.pid})
}

// refuseStart tells the creator that there will be no start. The creator expects to hear of a start before it hears of
// the end.
func (s *sandbox) refuseStart() error {
	s.starting.Lock()
	defer s.starting.Unlock()
	if s.answered {
		return nil
	}
	s.answered = true
	gone := errors.New("the container ended before it was started")
	return s.creator.SendError(stageSandbox, wire.Errorf(stageSandbox, "start the payload", "", gone))
}

// destroy ends the processes that a failed creation has begun.
func (s *sandbox) destroy() {
	if s.init != nil {
		s.init.closeTheirs()
		s.init.discard()
	}
}
