package runtime

import (
	"errors"
	"os"
	goruntime "runtime"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/executable"
	"github.com/rcrun/rcrun/internal/wire"
)

// exec serves one exec from beginning to end. Files are a wire of its own to the creator and the standard files.
//
// It runs on a thread of its own that is never unlocked: what the thread forks is born into the container's pid
// namespace, with which it also dies. (SysProcAttr.Pdeathsig is not for it: in another pid namespace Go takes the
// parent for dead.)
func (s *sandbox) exec(request execRequest, files []*os.File) {
	goruntime.LockOSThread()
	conn, err := wire.FromFile(files[0])
	stdio := files[1:]
	if err != nil {
		wire.CloseFiles(stdio)
		return // the creator sees the wire end
	}
	defer conn.Close()
	proc, err := s.startExec(conn, request.Process, stdio)
	if err != nil && (stageDied(err) || s.initEnded()) {
		err = wire.Errorf(stageExec, "enter the container", "", unix.ESRCH)
	}
	if err != nil {
		conn.SendError(stageExec, err) // a creator that has gone needs no answer
		return
	}
	if state, err := proc.Wait(); err == nil {
		conn.Send(msgExit, exitStatus(state.Sys().(syscall.WaitStatus)))
	}
}

// stageDied says whether the stage was gone before it could say why: the end of the container takes it along, and
// takes it first.
func stageDied(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }

// initEnded says whether the container's first process has ended, and with it all others.
func (s *sandbox) initEnded() bool {
	poll := []unix.PollFd{{Fd: int32(s.initFD.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0
}

// startExec starts the command and reports it as started. It closes stdio.
func (s *sandbox) startExec(conn *wire.Conn, process *specs.Process, stdio []*os.File) (*os.Process, error) {
	defer func() { wire.CloseFiles(stdio) }()
	if process.Terminal {
		slave, err := s.execTerminal(conn, process)
		if err != nil {
			return nil, err
		}
		wire.CloseFiles(stdio)
		stdio = []*os.File{slave, slave, slave}
	}
	stage, proc, pidfd, err := s.forkExec(process, stdio)
	if err != nil {
		return nil, err
	}
	defer stage.Close()
	defer pidfd.Close()
	err = s.awaitExec(stage, process)
	if err == nil {
		err = conn.Send(msgStarted, started{Pid: proc.Pid}, pidfd)
	}
	if err != nil {
		proc.Kill()
		proc.Wait()
		return nil, err
	}
	return proc, nil
}

// execTerminal makes a terminal of the container's and hands its master up.
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

// forkExec starts the exec stage in the container's pid namespace.
func (s *sandbox) forkExec(process *specs.Process, stdio []*os.File) (*wire.Conn, *os.Process, *os.File, error) {
	if flags := ownNamespaces(s.config.Spec, unix.CLONE_NEWPID); flags != 0 {
		if err := unix.Setns(int(s.initFD.Fd()), flags); err != nil {
			return nil, nil, nil, wire.Errorf(stageExec, "join pid namespace", "", err)
		}
	}
	stage, theirs, err := wire.Pair()
	if err != nil {
		return nil, nil, nil, wire.Errorf(stageExec, "open wire", "", err)
	}
	defer theirs.Close()
	pidfd := -1
	proc, err := os.StartProcess(executable.Path(s.self), []string{ExecStage}, &os.ProcAttr{
		Files: append(stdio[:3:3], theirs),
		Env:   []string{},
		Sys: &syscall.SysProcAttr{
			Setsid: true, Setctty: process.Terminal, Ctty: 0,
			PidFD: &pidfd,
		},
	})
	if err != nil {
		stage.Close()
		return nil, nil, nil, wire.Errorf(stageExec, "start", "", err)
	}
	return stage, proc, os.NewFile(uintptr(pidfd), "exec"), nil
}

func (s *sandbox) awaitExec(stage *wire.Conn, process *specs.Process) error {
	spec := s.config.Spec
	mask := unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	config := execConfig{
		Namespaces: unix.CLONE_NEWNS | ownNamespaces(spec, mask),
		Payload:    payload{Process: process, Filter: s.config.Filter, IDs: s.ids},
	}
	if err := stage.Send(msgConfig, config, s.initFD); err != nil {
		return wire.Errorf(stageExec, "configure", "", err)
	}
	return outcome(stage)
}
