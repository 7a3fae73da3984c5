package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

// child is a process that was forked without executing a program, and makes the system calls of a program (see there).
//
// This is how a process gets into a container. A Go program cannot enter a user namespace, because it has threads; the
// child has one. And a process that enters a container must not execute a program there: the memory of such a process
// would belong to the container's user namespace, whose root may read and change it. The memory of the child belongs to
// the namespace in which the sandbox was executed, for which no capability of the container counts.
//
// The Go runtime does not work in the child, so its code (all of interpret.go) allocates nothing, calls nothing that
// might need more stack, and has all signals blocked.
type child struct {
	program *program
	pid     int
	pidfd   *os.File
	control *os.File // the parent's end of a socket
	theirs  *os.File // the child's end, as long as the parent has it open
}

// What a child does after the first program.
const (
	runAndExit  = iota
	runAndServe // waits for further programs
)

// fork makes a child that runs the program, in new namespaces as the flags (CLONE_*) say. From then on the program
// belongs to the child. If the child has to die with its parent, the caller must be on a thread that outlives the
// child.
//
// With CLONE_FILES the child's end of the control socket stays open in the parent, too, until closeTheirs.
func fork(p *program, flags uintptr, start int) (_ *child, err error) {
	c := &child{program: p}
	if p.err != nil {
		p.free()
		return nil, p.err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		p.free()
		return nil, os.NewSyscallError("socketpair", err)
	}
	unix.SetNonblock(fds[0], true) // cannot fail on a socket
	c.control = os.NewFile(uintptr(fds[0]), "control")
	defer func() {
		if err != nil {
			c.closeTheirs()
			c.release()
		}
	}()
	if c.theirs, err = aside(fds[1]); err != nil {
		unix.Close(fds[1])
		return nil, err
	}
	unix.Close(fds[1])
	p.header().control = int32(c.theirs.Fd())
	if p.control != nil {
		p.control.args[0] = c.theirs.Fd()
	}
	if c.pid, err = cloneBlocked(flags, p.mem, start); err != nil {
		return nil, fmt.Errorf("clone: %w", err)
	}
	c.pidfd = os.NewFile(uintptr(p.header().pidfd), "child")
	if flags&unix.CLONE_FILES == 0 {
		c.closeTheirs()
	}
	return c, nil
}

// low is the first descriptor that no program here assigns by number.
const low = 16

// aside returns a copy of a descriptor, with a number that no program assigns to another file.
func aside(fd int) (*os.File, error) {
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, low)
	if err != nil {
		return nil, fmt.Errorf("copy a descriptor for a child: %w", err)
	}
	return os.NewFile(uintptr(copied), "for a child"), nil
}

// closeTheirs closes the child's end of the control socket in the parent, so that the parent sees the end of the child.
func (c *child) closeTheirs() {
	if c.theirs != nil {
		c.theirs.Close()
		c.theirs = nil
	}
}

// cloneBlocked clones with all signals blocked, so that no signal handler of Go's ever runs in the child.
func cloneBlocked(flags uintptr, mem []byte, start int) (pid int, err error) {
	all, before := ^uint64(0), uint64(0)
	if errno := setMaskOf(&all, &before); errno != 0 {
		return 0, errno
	}
	r, errno := cloneAndInterpret(flags, unsafe.Pointer(unsafe.SliceData(mem)), start)
	if errno := setMaskOf(&before, nil); errno != 0 {
		return 0, errno
	}
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// A container may stop a process that it sees. The parent continues it, and gives up after a while.
const (
	wakeEvery  = 50 * time.Millisecond
	wakeAtMost = 200
)

// errStopped is the error of a child that the container kept stopping.
var errStopped = errors.New("the container kept stopping the process (SIGSTOP) before it had become the command")

// run has a child that serves run the program as it is now, and waits for the outcome as await does.
func (c *child) run() error {
	if c.program.err != nil {
		return c.program.err
	}
	if _, err := c.control.Write([]byte{0}); err != nil {
		return c.endedEarly(err)
	}
	return c.await()
}

// await waits for the outcome of a program. It returns nil when the child has come to its end or has executed a
// program.
func (c *child) await() error {
	for woken := 0; ; {
		if err := c.control.SetReadDeadline(time.Now().Add(wakeEvery)); err != nil {
			return err
		}
		_, err := c.control.Read(make([]byte, 1))
		switch {
		case err == nil || errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET):
			return c.program.outcome()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("wait for the process: %w", err)
		case c.state() == childEnded: // if it shares the parent's files, its end of the socket may still be open
			return c.program.outcome()
		case c.state() == childRuns:
		case woken == wakeAtMost:
			c.kill()
			return errStopped
		default:
			woken++
			sendSignal(c.pidfd, unix.SIGCONT) // it may have ended
		}
	}
}

func (c *child) endedEarly(err error) error {
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return errKilled
	}
	return err
}

// The states of a child.
const (
	childRuns = iota
	childStopped
	childEnded
)

// state tells whether the child runs, was stopped by a signal, or has ended (and may have been waited for).
func (c *child) state() int {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, c.pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	switch {
	case errors.Is(err, unix.ECHILD):
		return childEnded
	case err != nil || info.Signo == 0:
		return childRuns
	case info.Code == cldStopped:
		return childStopped
	}
	return childEnded
}

const cldStopped = 5 // CLD_STOPPED

// wait waits for the end of the child.
func (c *child) wait() (unix.WaitStatus, error) {
	var status unix.WaitStatus
	_, err := eintr.Retry(func() (int, error) { return unix.Wait4(c.pid, &status, 0, nil) })
	return status, err
}

func (c *child) kill() {
	sendSignal(c.pidfd, unix.SIGKILL) // it may have ended
}

// discard kills a child, waits for its end and releases it.
func (c *child) discard() {
	c.kill()
	c.wait()
	c.release()
}

// release closes what the parent holds of the child, except its pidfd, which may be in use elsewhere.
func (c *child) release() {
	c.control.Close()
	c.program.free()
}
