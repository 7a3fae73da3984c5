package events

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rcrun/rcrun/internal/eintr"
	"golang.org/x/sys/unix"
)

const (
	lockName = "lock"
	// lockTime is how long a writer may have to wait for others, which need some ten microseconds each.
	lockTime = 5 * time.Second
)

// lock takes the lock of the journal. Where its holder has been stopped for longer than the patience, only the first
// event costs its writer the time.
func (j *Journal) lock() (*os.File, error) {
	patience := j.patience
	if j.stuck.Load() {
		patience = 0
	}
	held, err := waitLock(j.path(lockName), patience)
	j.stuck.Store(errors.Is(err, errStuck))
	return held, err
}

// errStuck is the error of a lock that another process holds for too long.
var errStuck = errors.New("another process holds it for too long")

// waitLock takes the lock at path, for which it waits at most patience. Closing the file releases the lock, as does the
// end of the process.
func waitLock(path string, patience time.Duration) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of events: %w", err)
	}
	err = setLock(file, unix.F_OFD_SETLK)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		if patience == 0 {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, errStuck)
		}
		return waitForHolder(file, patience)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// waitForHolder has the kernel put the caller in the queue for the lock. After patience the queue is left: the call
// cannot be interrupted, so it gives the lock back when it gets it.
func waitForHolder(file *os.File, patience time.Duration) (*os.File, error) {
	taken := make(chan error)
	late := make(chan struct{})
	go func() {
		err := setLock(file, unix.F_OFD_SETLKW)
		select {
		case taken <- err:
		case <-late:
			file.Close()
		}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-taken:
		if err != nil {
			file.Close()
			return nil, err
		}
		return file, nil
	case <-timer.C:
		close(late)
		return nil, fmt.Errorf("lock %s: %w", file.Name(), errStuck)
	}
}

func setLock(file *os.File, command int) error {
	err := eintr.Repeat(func() error {
		return unix.FcntlFlock(file.Fd(), command, &unix.Flock_t{Type: unix.F_WRLCK})
	})
	if err != nil {
		return fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return nil
}
