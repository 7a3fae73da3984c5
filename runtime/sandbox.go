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

// wireFD is where a stage finds its socket to its creator.
const wireFD = 3

// SandboxMain is what the stage SandboxStage runs: it makes the container, serves execs and ends with the container.
// roots are the root file systems that a Config may name. It returns an exit code.
func SandboxMain(roots map[string]RootFactory) int {
	// Being the parent whose death kills init belongs to a thread: this one to the end.
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

// stageMain runs a stage that speaks over its wire; what goes wrong is told there.
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
		conn.SendError(stage, wire.Errorf(stage, "run", "", err)) // nobody is left to tell if this fails
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
	own   []int      // those that the payload's user is to own

	mu      sync.Mutex
	running bool           // guarded by mu: the payload has been executed
	ended   bool           // guarded by mu: no exec is taken on any more
	execs   sync.WaitGroup // added to only under mu and before ended

	starting sync.Mutex
	answered bool // guarded by starting: the creator has been told how its start went, or that there is none any more
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
	unix.Umask(0o022) // the mount points that are made do not depend on the caller's
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

// findFileLimit takes its time while the container is made. Where the host forbids to trace processes, the payload keeps
// the raised limit.
func (s *sandbox) findFileLimit() {
	limit, err := fileLimit()
	if err != nil {
		unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) // which succeeded before
	}
	s.files <- limit
}

// prepareHost separates the sandbox from the host as far as the new namespaces do not.
func (s *sandbox) prepareHost() error {
	// What the host mounts later is to be seen by binds that ask for it, but nothing is to go the other way.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return wire.Errorf(stageSandbox, "stop mount propagation from", "/", err)
	}
	if err := joinNamespaces(s.config.Spec); err != nil {
		return wire.Errorf(stageSandbox, "join namespaces", "", err)
	}
	return nil
}

// mountRoot makes the root file system appear on the working directory and hands up what came of it.
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

// enterRootDir becomes user 0 and goes from the directory that the root was mounted on to the root itself. The way
// there may be open to the caller only, and the root to user 0 only; an O_PATH descriptor bridges the two. From the working
// directory it leads over that one's parent alone: what is at the whole path by now may be something else.
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

// report tells the creator that the container is there.
func (s *sandbox) report(ready ready, master *os.File) error {
	if master != nil {
		if err := s.creator.Send(msgConsole, nil, master); err != nil {
			return err
		}
	}
	return s.creator.Send(msgCreated, created{Pid: s.init.pid, Warnings: ready.warnings}, s.init.pidfd)
}

// serve runs until the container has ended, and tells how it did.
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
	s.execs.Wait() // they were in the pid namespace that has just ended
	return nil
}

// exitStatus is how a process ended.
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

// takeExec serves an exec beside others. One that comes too late finds its wire closed. One that comes before the payload
// is refused: until then nothing in the container may look at init.
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
		return // the creator sees the wire end
	}
	defer conn.Close()
	early := fault.Errorf(errdefs.ErrConflict, "the container has not been started")
	conn.SendError(stageExec, wire.Errorf(stageExec, "enter the container", "", early)) // the creator may have gone
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
	// A creator that cannot be told is gone, which listen notices.
	if err != nil {
		s.creator.SendError(stageInit, err)
		s.init.release() // the end of its socket is the end of init
		return
	}
	s.init.release()
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	s.creator.Send(msgStarted, started{Pid: s.init.pid})
}

// refuseStart has the creator told of a start, of which it expects to hear before it hears of the end.
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

// destroy ends what a failed creation has begun.
func (s *sandbox) destroy() {
	if s.init != nil {
		s.init.closeTheirs()
		s.init.discard()
	}
}
