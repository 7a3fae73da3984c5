package engine

import (
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/entry"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/wire"
	"golang.org/x/sys/unix"
)

// What the processes of a container need of the limits that they inherit from the caller.
const leastOpenFiles = 64

// checkLimits refuses limits of the caller's with which a process of a container would end without a word.
func checkLimits() error {
	if limit := hardLimit(unix.RLIMIT_NOFILE); limit < leastOpenFiles {
		return fault.Errorf(errdefs.ErrResourceExhausted,
			"the limit of open files is %d: raise it (ulimit -n) to %d or more", limit, leastOpenFiles)
	}
	if limit := softLimit(unix.RLIMIT_AS); limit < entry.LeastAddressSpace {
		return fault.Errorf(errdefs.ErrResourceExhausted,
			"the limit of address space is %d KiB: raise it (ulimit -v) to %d or more",
			limit>>10, entry.LeastAddressSpace>>10)
	}
	return nil
}

func hardLimit(resource int) uint64 { return limitOf(resource).Max }
func softLimit(resource int) uint64 { return limitOf(resource).Cur }

// limitOf returns a limit of the calling process. The call cannot fail.
func limitOf(resource int) unix.Rlimit {
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	unix.Getrlimit(resource, &limit)
	return limit
}

// errDied is the error of a monitor that ended without a word, as a Go program does that gets no thread.
var errDied = fault.Errorf(errdefs.ErrUnavailable, "the monitor was killed before the container had started")

// ExplainLimit adds to an error that a limit of the caller's may be the cause of which one that is.
func ExplainLimit(err error) error {
	var hint string
	died := errors.Is(err, errDied) || errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET)
	processes := softLimit(unix.RLIMIT_NPROC)
	switch {
	case err == nil || isExplained(err):
	case errors.Is(err, unix.EMFILE):
		hint = fmt.Sprintf("the limit of open files is %d: raise it with ulimit -n", softLimit(unix.RLIMIT_NOFILE))
	case errors.Is(err, unix.EFBIG):
		hint = fmt.Sprintf("the limit of file sizes is %d bytes: raise it with ulimit -f", softLimit(unix.RLIMIT_FSIZE))
	case (died || errors.Is(err, unix.EAGAIN)) && processes < manyProcesses:
		hint = fmt.Sprintf("the limit of processes, all of yours together, is %d: raise it with ulimit -u", processes)
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, hint)
}

// isExplained tells whether an error is an answer of the monitor, which has explained its own limits.
func isExplained(err error) bool {
	var answer *wire.Error
	return errors.As(err, &answer) && answer.Whole
}

// manyProcesses is a limit of processes that is met by those of others, if at all, and not worth a hint.
const manyProcesses = 1024
