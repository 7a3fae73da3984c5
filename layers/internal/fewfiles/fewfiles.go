// Package fewfiles gives tests few descriptors, so that work whose need of descriptors grows with a tree fails. Only
// tests import it.
package fewfiles

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Limit gives the process few descriptors for the time of a test.
func Limit(t *testing.T, most uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
}
