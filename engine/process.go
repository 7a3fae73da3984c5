package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// processID names a process for good: a number alone may mean another process later.
type processID struct {
	Pid   int
	Start uint64 // when it started, in clock ticks since boot; 0 with Pid 0 where there is none
}

// identify returns the identity of a running process.
func identify(pid int) (processID, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	// The name, in parentheses, may contain anything; the start time is the 20th field after it.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return processID{}, fmt.Errorf("identify process %d: malformed stat", pid)
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return processID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return processID{pid, start}, nil
}

// kill ends the process, if it is still the same.
func (p processID) kill() error {
	if p.Pid <= 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	defer unix.Close(fd)
	// The descriptor holds the number: what it says now stays true.
	if now, err := identify(p.Pid); err != nil || now != p {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	return nil
}
