package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/filewatch"
	"golang.org/x/sys/unix"
)

// errLocked is returned where another process holds a container's lock: its monitor, so the container runs, or
// somebody who is just creating or removing it.
var errLocked = fault.Errorf(errdefs.ErrConflict, "in use by another process")

// lock is a held lock file. The kernel releases it with the last descriptor, so however its holder ends.
type lock struct{ file *os.File }

// The bytes of a lock file that are locked. A container is made under both locks. Who looks for containers that were
// left unfinished takes the second one alone: a container that was finished just before can be started meanwhile.
var (
	lifeByte   = unix.Flock_t{Type: unix.F_WRLCK, Start: 0, Len: 1}
	makingByte = unix.Flock_t{Type: unix.F_WRLCK, Start: 1, Len: 1}
	bothBytes  = unix.Flock_t{Type: unix.F_WRLCK}
)

// newLock makes the lock file at path, locked from its first moment.
func newLock(path string) (*lock, error) {
	draft := path + ".new"
	file, err := os.OpenFile(draft, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create lock: %w", err)
	}
	file.Close()
	held, err := tryLockBytes(draft, bothBytes)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(draft, path); err != nil {
		held.release()
		return nil, fmt.Errorf("create lock: %w", err)
	}
	return held, nil
}

// tryLock takes the lock of the container's life at path or returns errLocked.
func tryLock(path string) (*lock, error) { return tryLockBytes(path, lifeByte) }

// tryLockBytes makes no file: one that is gone has been removed with its container, and must not come back.
func tryLockBytes(path string, bytes unix.Flock_t) (*lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &bytes)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		file.Close()
		return nil, errLocked
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &lock{file}, nil
}

// waitLock takes the lock at path, waiting for at most patience.
func waitLock(ctx context.Context, path string, patience time.Duration) (*lock, error) {
	held, err := tryLock(path)
	if !errors.Is(err, errLocked) {
		return held, err
	}
	watch, err := filewatch.WatchLock(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return nil, err
	}
	defer watch.Close()
	span, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if !locked(path) {
			if held, err = tryLock(path); !errors.Is(err, errLocked) {
				return held, err
			}
		}
		switch _, err := watch.Wait(span); {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case span.Err() != nil:
			return tryLock(path)
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return nil, err
		}
	}
}

// release gives the lock up. Closing the file would not do: another goroutine may just be starting a process, which has
// a copy of the descriptor until it executes its program.
func (l *lock) release() {
	unix.FcntlFlock(l.file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}) // closing does it otherwise
	l.file.Close()
}

// locked tells whether somebody holds the lock at path, without taking it. It opens the file for reading: the close of
// one that was opened for writing is what those wait for who wait for the lock.
func locked(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false // no lock file: nobody ever held it
	}
	defer file.Close()
	probe := lifeByte
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, &probe); err != nil {
		return false
	}
	return probe.Type != unix.F_UNLCK
}
