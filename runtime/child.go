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

// child is a process that was forked without executing anything, and makes the system calls of a program.
//
// It is how a process gets into a container. A Go program cannot enter a user namespace, for it has threads; the
// child has one. And what enters a container must not be a program that was executed there: the memory of such a
// program belongs to the container's user namespace, whose root may read and change it. The memory of the child
// belongs to the namespace in which the sandbox was executed, for which no capability of the container counts.
//
// The Go runtime does not work in the child, so its code (all of interpret.go) allocates nothing, calls nothing that
// might need more stack, and has all signals blocked.
type child struct {
	program *program
	pid     int
	pidfd   *os.File
	control *os.File // our end of a socket
	theirs  *os.File // the child's, as long as it is open here
}

// What a child does after the first program.
const (
	runAndExit  = iota
	runAndServe // runs others
)

// fork makes a child, in new namespaces as the flags (CLONE_*) say, that runs the program, which is the child's from
// then on. The caller must be on a thread that outlives the child if the child is to die with its parent.
//
// With CLONE_FILES the child's end of the control socket stays open here, too, until closeTheirs.
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

// low is the first descriptor that no program of ours puts anything on.
const low = 16

// aside returns a copy of a descriptor that no other is put on in a child.
func aside(fd int) (*os.File, error) {
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, low)
	if err != nil {
		return nil, fmt.Errorf("copy a descriptor for a child: %w", err)
	}
	return os.NewFile(uintptr(copied), "for a child"), nil
}

// closeTheirs closes the child's end of the control socket here, so that the end of the child shows.
func (c *child) closeTheirs() {
	if c.theirs != nil {
		c.theirs.Close()
		c.theirs = nil
	}
}

// cloneBlocked clones with all signals blocked in the child, so that no handler of Go's ever runs there.
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

// A container may stop a process that it sees. The parent wakes it, and loses patience after a while.
const (
	wakeEvery  = 50 * time.Millisecond
	wakeAtMost = 200
)

// errStopped is what a container's own doing is met with.
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

// await waits for the outcome of a program: nil once the child has come to its end or has executed something.
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
		case c.state() == childEnded: // with shared files its end of the socket may still be open
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

// What a child does.
const (
	childRuns = iota
	childStopped
	childEnded
)

// state says whether the child runs, or has been stopped by a signal, or has ended and may have been waited for.
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

// discard ends a child and forgets it.
func (c *child) discard() {
	c.kill()
	c.wait()
	c.release()
}

// release closes what the parent holds of the child but its pidfd, which may be in use elsewhere.
func (c *child) release() {
	c.control.Close()
	c.program.free()
}
