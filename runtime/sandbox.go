package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/executable"
	"github.com/rcrun/rcrun/internal/wire"
)

const stageSandbox = "sandbox"

// SandboxMain is what the stage SandboxStage runs: it makes the container's root appear, starts init, serves execs
// and ends with the container. roots are the root file systems that a Config may name. It returns an exit code.
func SandboxMain(roots map[string]RootFactory) int {
	// Namespaces, and being the parent whose death kills init, belong to a thread: this one to the end.
	goruntime.LockOSThread()
	return stageMain(stageSandbox, func(conn *wire.Conn) error {
		s := &sandbox{creator: conn}
		if err := s.create(roots); err != nil {
			s.destroy()
			return err
		}
		return s.serve()
	})
}

// sandbox is the state of the stage.
type sandbox struct {
	creator *wire.Conn
	config  sandboxConfig
	ids     idMaps
	self    *os.File // what stages in the container are executed from
	devpts  *os.File // the container's, or nil

	mu    sync.Mutex
	ended bool           // guarded by mu: no exec is taken on any more
	execs sync.WaitGroup // added to only under mu and before ended

	initProc *os.Process
	initFD   *os.File // pidfd
	initWire *wire.Conn

	starting sync.Mutex
	answered bool // guarded by starting: the creator has been told how its start went, or that there is none any more
}

// create brings the container to the point where only the payload's execution is left.
func (s *sandbox) create(roots map[string]RootFactory) error {
	stdio, err := s.creator.Expect(msgConfig, &s.config, 3)
	if err != nil {
		return err
	}
	defer wire.CloseFiles(stdio)
	if _, err := s.creator.Expect(msgMapped, nil, 0); err != nil {
		return err
	}
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
	if err := s.startInit(stdio); err != nil {
		return err
	}
	return s.awaitInit(trees)
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
	if newNamespaces(s.config.Spec, unix.CLONE_NEWNET) != 0 {
		if err := loopbackUp(); err != nil {
			return wire.Errorf(stageSandbox, "bring up loopback", "lo", err)
		}
	}
	self, err := openSelf()
	if err != nil {
		return wire.Errorf(stageSandbox, "open own binary", "", err)
	}
	s.self = self
	return nil
}

func loopbackUp() error {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, lo)
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

// startInit forks init into its namespaces.
func (s *sandbox) startInit(stdio []*os.File) error {
	conn, theirs, err := wire.Pair()
	if err != nil {
		return wire.Errorf(stageSandbox, "open wire", "", err)
	}
	defer theirs.Close()
	args := []string{InitStage}
	if s.config.Init {
		args = append(args, reaperArg)
	}
	pidfd := -1
	proc, err := os.StartProcess(executable.Path(s.self), args, &os.ProcAttr{
		Files: append(stdio[:3:3], theirs),
		Env:   []string{},
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | uintptr(newNamespaces(s.config.Spec, unix.CLONE_NEWPID|unix.CLONE_NEWIPC|unix.CLONE_NEWUTS)),
			// A cgroup namespace shows the cgroup in which it is made as its root: the new process's own.
			Unshareflags: uintptr(newNamespaces(s.config.Spec, unix.CLONE_NEWCGROUP)),
			Setsid:       true,
			Pdeathsig:    syscall.SIGKILL,
			PidFD:        &pidfd,
		},
	})
	if err != nil {
		conn.Close()
		return wire.Errorf(stageSandbox, "start init", "", err)
	}
	s.initProc, s.initWire, s.initFD = proc, conn, os.NewFile(uintptr(pidfd), "init")
	return nil
}

// awaitInit tells init what to become and passes on what it reports.
func (s *sandbox) awaitInit(trees []*os.File) error {
	spec := s.config.Spec
	config := initConfig{Spec: spec, Payload: payload{Process: spec.Process, Filter: s.config.Filter, IDs: s.ids}}
	if err := s.initWire.Send(msgConfig, config); err != nil {
		return wire.Errorf(stageSandbox, "configure init", "", err)
	}
	for _, tree := range trees {
		if err := s.initWire.Send(msgTree, nil, tree); err != nil {
			return wire.Errorf(stageSandbox, "configure init", "", err)
		}
	}
	var ready initReady
	if _, err := s.initWire.Expect(msgReady, &ready, 0); err != nil {
		return wire.Errorf(stageInit, "set up the container", "", err)
	}
	if ready.Devpts {
		files, err := s.initWire.Expect(msgDevpts, nil, 1)
		if err != nil {
			return wire.Errorf(stageInit, "set up the container", "", err)
		}
		s.devpts = files[0]
	}
	if ready.Console {
		files, err := s.initWire.Expect(msgConsole, nil, 1)
		if err != nil {
			return wire.Errorf(stageInit, "set up the container", "", err)
		}
		defer wire.CloseFiles(files)
		if err := s.creator.Send(msgConsole, nil, files...); err != nil {
			return err
		}
	}
	return s.creator.Send(msgCreated, created{Pid: s.initProc.Pid, Warnings: ready.Warnings}, s.initFD)
}

// serve runs until the container has ended, and tells how it did.
func (s *sandbox) serve() error {
	go s.listen()
	state, err := s.initProc.Wait()
	if err != nil {
		return wire.Errorf(stageSandbox, "wait for init", "", err)
	}
	if err := s.refuseStart(); err != nil {
		return err
	}
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	if err := s.creator.Send(msgExit, exitStatus(state.Sys().(syscall.WaitStatus))); err != nil {
		return err
	}
	s.execs.Wait() // they were in the pid namespace that has just ended
	return nil
}

// listen serves the creator's requests; the end of its wire is the end of the container.
func (s *sandbox) listen() {
	defer s.initProc.Kill()
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

// takeExec serves an exec beside others. One that comes too late finds its wire closed.
func (s *sandbox) takeExec(request execRequest, files []*os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		wire.CloseFiles(files)
		return
	}
	s.execs.Go(func() { s.exec(request, files) })
}

// start has init execute the payload, and tells the creator how that went. The wire to init ends when it has
// succeeded, or when init has died.
func (s *sandbox) start() {
	s.starting.Lock()
	defer s.starting.Unlock()
	if s.answered {
		return
	}
	s.answered = true
	defer s.initWire.Close()
	err := s.initWire.Send(msgStart, nil)
	if err == nil {
		err = outcome(s.initWire)
	}
	// A creator that cannot be told is gone, which listen notices.
	if err != nil {
		s.creator.SendError(stageInit, err)
		return
	}
	s.creator.Send(msgStarted, started{Pid: s.initProc.Pid})
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

// outcome waits until a stage has become its payload or tells why it could not.
func outcome(stage *wire.Conn) error {
	_, err := stage.Expect("nothing more", nil, 0)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// destroy ends what a failed creation has begun.
func (s *sandbox) destroy() {
	if s.initProc == nil {
		return
	}
	s.initProc.Kill()
	s.initProc.Wait()
}
