package runtime

import (
	"errors"
	"os"
	goruntime "runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

const stageExec = "exec"

// exec serves one exec from beginning to end. files are a wire of its own to the creator, and the standard files.
//
// It runs on a thread of its own that is never unlocked. The thread enters the container's namespaces, all but the user
// namespace, and so sees the container's files. The process that it forks is born into the container's pid namespace,
// enters the user namespace and becomes the command. No process in the container ever has more than the container's own
// files.
func (s *sandbox) exec(request execRequest, files []*os.File) {
	goruntime.LockOSThread()
	conn, err := wire.FromFile(files[0])
	stdio := files[1:]
	if err != nil {
		wire.CloseFiles(stdio)
		return // the creator sees the end of the wire
	}
	defer conn.Close()
	process, err := s.startExec(conn, request.Process, stdio)
	if err != nil && s.initEnded(err) {
		err = wire.Errorf(stageExec, "enter the container", "", unix.ESRCH)
	}
	if err != nil {
		conn.SendError(stageExec, err) // a creator that has gone needs no answer
		return
	}
	if status, err := process.wait(); err == nil {
		conn.Send(msgExit, exitStatus(status))
	}
	process.pidfd.Close()
}

// endTimeout bounds the wait for the end of a container that is about to end, in milliseconds.
const endTimeout = 2000

// initEnded tells whether an exec failed with err because the container's first process has ended, and with it all
// others. As soon as the first process begins to end, the kernel refuses to make another process (ENOMEM) or to let one
// join its namespaces (ESRCH, and EPERM once the process has no memory that tells whose it is).
func (s *sandbox) initEnded(err error) bool {
	timeout := 0
	for _, sign := range []error{unix.ENOMEM, unix.ESRCH, unix.EPERM, killedErrno} {
		if errors.Is(err, sign) {
			timeout = endTimeout
		}
	}
	poll := []unix.PollFd{{Fd: int32(s.init.pidfd.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, timeout)
	return err == nil && n > 0
}

// startExec starts the command and reports that it has started. It closes stdio.
func (s *sandbox) startExec(conn *wire.Conn, process *specs.Process, stdio []*os.File) (*child, error) {
	defer func() { wire.CloseFiles(stdio) }()
	if process.Terminal {
		slave, err := s.execTerminal(conn, process)
		if err != nil {
			return nil, err
		}
		wire.CloseFiles(stdio)
		stdio = []*os.File{slave, slave, slave}
	}
	if err := s.join(containerNamespaces, true); err != nil {
		return nil, err
	}
	files := <-s.files
	s.files <- files
	payload := &payload{Process: process, Filter: s.config.Filter, IDs: s.ids, Files: files}
	if err := payload.prepare(stageExec); err != nil {
		return nil, err
	}
	running, err := s.forkExec(payload, stdio)
	if err != nil {
		return nil, err
	}
	go running.endWith(conn)
	err = stageError(stageExec, running.await(), process.Args)
	if err == nil {
		err = conn.Send(msgStarted, started{Pid: running.pid}, running.pidfd)
	}
	if err != nil {
		running.discard()
		running.pidfd.Close()
		return nil, err
	}
	running.release()
	return running, nil
}

// endWith kills the child when the creator closes the wire of this exec, because the creator has then given up.
func (c *child) endWith(conn *wire.Conn) {
	if _, err := conn.Recv(); err != nil {
		c.kill()
	}
}

// execTerminal opens a terminal of the container's devpts and sends the master to the creator.
func (s *sandbox) execTerminal(conn *wire.Conn, process *specs.Process) (slave *os.File, err error) {
	if s.devpts == nil {
		return nil, wire.Errorf(stageExec, "open terminal", "", errors.New("the container has no devpts"))
	}
	master, slave, err := newPty(int(s.devpts.Fd()), process.ConsoleSize)
	if err != nil {
		return nil, wire.Errorf(stageExec, "open terminal", "/dev/pts/ptmx", err)
	}
	defer master.Close()
	if err := conn.Send(msgConsole, nil, master); err != nil {
		slave.Close()
		return nil, err
	}
	return slave, nil
}

// forkExec forks the process that becomes the payload.
func (s *sandbox) forkExec(payload *payload, stdio []*os.File) (*child, error) {
	p, err := newProgram(payload.steps(), payload.size())
	if err != nil {
		return nil, wire.Errorf(stageExec, "start", "", err)
	}
	if err := payload.prepareFiles(stdio); err != nil {
		p.free()
		return nil, wire.Errorf(stageExec, "prepare the standard files", "", err)
	}
	p.hide()
	p.add("enter the user namespace", unix.SYS_SETNS, s.init.pidfd.Fd(), unix.CLONE_NEWUSER)
	p.joinKeyring(s.config.Filter)
	p.add("become a session leader", unix.SYS_SETSID)
	var held []*os.File
	defer func() { wire.CloseFiles(held) }()
	for number, file := range stdio {
		copied, err := aside(int(file.Fd()))
		if err != nil {
			p.free()
			return nil, wire.Errorf(stageExec, "pass files", "", err)
		}
		held = append(held, copied)
		p.place(copied.Fd(), number)
	}
	p.control = p.place(0, controlFD)
	if err := payload.become(p); err != nil {
		p.free()
		return nil, wire.Errorf(stageExec, "run", "", err)
	}
	running, err := fork(p, 0, runAndExit)
	if err != nil {
		return nil, wire.Errorf(stageExec, "start", "", err)
	}
	return running, nil
}
