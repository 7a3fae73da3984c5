package workdir

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lockPatience bounds how long a Union waits for another one to be closed: umount(2) returns before the server
	// has ended.
	lockPatience = 3 * time.Second
	lockInterval = 5 * time.Millisecond
)

// Lock takes an exclusive flock on the work directory until the returned descriptor is closed. Without it a second
// Union would mistake our files in progress for crash debris and delete them. If the filesystem has no flock, it is
// skipped.
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
