package eintr

import (
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestInterruptedCallsAreRepeated(t *testing.T) {
	ends := []error{unix.EINTR, os.NewSyscallError("read", unix.EINTR), io.EOF}
	next := 0
	call := func() (int, error) { next++; return next, ends[next-1] }
	if n, err := Retry(call); n != 3 || err != io.EOF {
		t.Errorf("ended with call %d: %v", n, err)
	}
	next = 0
	if err := Repeat(func() error { _, err := call(); return err }); next != 3 || err != io.EOF {
		t.Errorf("ended with call %d: %v", next, err)
	}
	if err := Repeat(func() error { return nil }); err != nil {
		t.Error(err)
	}
}
