// Package eintr repeats system calls that a signal has interrupted.
//
// The Go runtime preempts threads by signals and installs its handlers with SA_RESTART, but the kernel does not restart
// every call: those of network filesystems and of FUSE, and calls that wait with a time limit, may fail with EINTR at
// any time.
package eintr

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Retry calls f until it returns anything else than EINTR.
func Retry[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		if !interrupted(err) {
			return v, err
		}
	}
}

// Repeat is Retry for a call that returns only an error.
func Repeat(f func() error) error {
	for {
		if err := f(); !interrupted(err) {
			return err
		}
	}
}

// interrupted compares before it unwraps, because almost every call succeeds or returns the bare error number.
func interrupted(err error) bool {
	return err == unix.EINTR || err != nil && errors.Is(err, unix.EINTR)
}
