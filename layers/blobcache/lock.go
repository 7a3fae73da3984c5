package blobcache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

// The ranges of a lock file.
const (
	claimByte = iota // shared by all claimants of the blob; exclusive while it is removed
	workByte         // exclusive for the process that fetches it
)

// openLock opens a lock file, and makes it if it is not there. It tells whether nothing else has claimed the blob; if
// so, the file is locked exclusively.
func openLock(path string) (lock *os.File, alone bool, err error) {
	for {
		lock, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, false, err
		}
		alone, err = tryExclusive(lock, claimByte)
		if err == nil && !alone {
			err = claimShared(lock)
		}
		if err != nil {
			return nil, false, errors.Join(err, lock.Close())
		}
		if isAt(lock, path) {
			return lock, alone, nil
		}
		// The last claimant of the blob has just removed the file.
		if err := lock.Close(); err != nil {
			return nil, false, err
		}
	}
}

// isAt tells whether an open file is still the one at path.
func isAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	current, err := os.Stat(path)
	return err == nil && os.SameFile(opened, current)
}

// claimShared takes a shared lock on a lock file. It waits for a process that is removing the blob, which is quick.
func claimShared(lock *os.File) error {
	return eintr.Repeat(func() error { return setLock(lock, unix.F_OFD_SETLKW, unix.F_RDLCK, claimByte) })
}

// tryExclusive locks a range of a lock file for this opening of the file, unless another opening has locked it.
func tryExclusive(lock *os.File, at int64) (bool, error) {
	err := setLock(lock, unix.F_OFD_SETLK, unix.F_WRLCK, at)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}

func unlock(lock *os.File, at int64) error {
	return setLock(lock, unix.F_OFD_SETLK, unix.F_UNLCK, at)
}

func setLock(lock *os.File, cmd int, kind int16, at int64) error {
	err := unix.FcntlFlock(lock.Fd(), cmd, &unix.Flock_t{Type: kind, Start: at, Len: 1})
	if err != nil {
		return &os.PathError{Op: "lock", Path: lock.Name(), Err: err}
	}
	return nil
}

// maxPoll is the longest time for which a waiting process sleeps before it looks again. A system call that waits for a
// lock could not be ended with a context.
const maxPoll = 100 * time.Millisecond

// Lock waits until no other process and no other goroutine has locked the blob, and locks it. The returned function
// unlocks it. If Lock must wait, it calls waiting once, which may be nil.
func (c *Claim) Lock(ctx context.Context, waiting func()) (func() error, error) {
	c.fetching.Lock()
	for pause := time.Millisecond; ; pause = min(2*pause, maxPoll) {
		locked, err := tryExclusive(c.lock, workByte)
		if locked {
			return func() error {
				defer c.fetching.Unlock()
				return unlock(c.lock, workByte)
			}, nil
		}
		if err == nil && waiting != nil {
			waiting()
			waiting = nil
		}
		if err == nil {
			err = sleep(ctx, pause)
		}
		if err != nil {
			c.fetching.Unlock()
			return nil, fmt.Errorf("wait for blob %s: %w", c.digest, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
