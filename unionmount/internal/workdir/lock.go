package workdir

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lockPatience is how long a Union waits for another one to be closed: unmounting a filesystem returns before its
	// server has come to an end.
	lockPatience = 3 * time.Second
	lockInterval = 5 * time.Millisecond
)

// Lock keeps others from opening a work directory, and with it the upper, for as long as the descriptor that it
// returns is open: whoever opens it takes what is being made there for what a crash has left. Where the filesystem
// knows no locks, nobody is kept.
func Lock(work string) (int, error) {
	fd, err := unix.Open(work, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open work directory %s: %w", work, err)
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockInterval) {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fd, nil
		case time.Now().After(deadline):
			unix.Close(fd)
			return -1, fmt.Errorf("lock work directory %s: another union is using it: %w", work, unix.EBUSY)
		}
	}
}
