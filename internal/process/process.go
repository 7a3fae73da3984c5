// Package process identifies processes, ends them and waits for them, and knows what the kernel does with the calling
// process.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ID identifies a process even after its end, when its number alone may belong to another process.
type ID struct {
	Pid   int
	Start uint64 // when it started, in clock ticks since boot; 0 with Pid 0 if there is no process
}

// SetName gives the calling process a name of up to 15 bytes, which lists of processes show. Without it, a process that
// was executed from a file in memory has the number of a descriptor for a name. A program that the process executes
// gets its own name again.
func SetName(name string) {
	// The file names the process, whereas prctl(2) names the calling thread. Where the file cannot be written, the
	// process keeps the other name.
	os.WriteFile("/proc/self/comm", []byte(name), 0)
}

// DieWithParent has the kernel kill the calling process when the thread that made it ends. A change of credentials
// takes the request back, so it must follow each of them.
func DieWithParent() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tie the process to its parent: %w", err)
	}
	return nil
}

// Capabilities lists the capabilities that the kernel knows.
func Capabilities() ([]uintptr, error) {
	var caps []uintptr
	for c := uintptr(0); ; c++ {
		_, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err == unix.EINVAL {
			return caps, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the capabilities of the kernel: %w", err)
		}
		caps = append(caps, c)
	}
}

// Identify returns the identity of a running process.
func Identify(pid int) (ID, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	// The name, in parentheses, may contain anything; the start time is the 20th field after it.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return ID{}, fmt.Errorf("identify process %d: malformed stat", pid)
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return ID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return ID{pid, start}, nil
}

// open returns a pidfd of the process, or -1 if it has ended.
func (p ID) open() (int, error) {
	if p.Pid <= 0 {
		return -1, nil
	}
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	// While the descriptor is open, the number is not reused, so what Identify returns now stays true.
	if now, err := Identify(p.Pid); err != nil || now != p {
		unix.Close(fd)
		return -1, nil
	}
	return fd, nil
}

// Kill kills the process, if it is still the same.
func (p ID) Kill() error {
	fd, err := p.open()
	if err != nil {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	if fd < 0 {
		return nil
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	return nil
}

// Wait returns when the process has ended, whosever child it is, or after the given time; then ended is false. It needs
// no thread, and returns with the error of ctx when that ends first.
func (p ID) Wait(ctx context.Context, most time.Duration) (ended bool, err error) {
	fd, err := p.open()
	if err != nil {
		return false, fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
	if fd < 0 {
		return true, nil
	}
	unix.SetNonblock(fd, true) // so that the file below has deadlines; it cannot fail
	file := os.NewFile(uintptr(fd), "pidfd")
	defer file.Close()
	switch err := waitReadable(ctx, file, most); {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	default:
		return false, fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
}

// waitReadable returns when a file can be read from, as a pidfd can when its process has ended.
func waitReadable(ctx context.Context, file *os.File, most time.Duration) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	if err := file.SetReadDeadline(time.Now().Add(most)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { file.SetReadDeadline(time.Unix(1, 0)) })()
	return raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 && err == nil
	})
}
