package engine

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExplainLimit(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &old); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NPROC, &old)
	low := unix.Rlimit{Cur: min(500, old.Max), Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &low); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		part string
	}{
		{fmt.Errorf("open f: %w", unix.EMFILE), "ulimit -n"},
		{fmt.Errorf("write f: %w", unix.EFBIG), "ulimit -f"},
		{fmt.Errorf("fork: %w", unix.EAGAIN), "500: raise it with ulimit -u"},
		{fmt.Errorf("init: %w", unix.ECONNRESET), "ulimit -u"},
		{fmt.Errorf("init: %w", io.EOF), "ulimit -u"},
		{fmt.Errorf("start: %w", errDied), "ulimit -u"},
	} {
		got := ExplainLimit(c.err)
		if !strings.HasPrefix(got.Error(), c.err.Error()) || !strings.Contains(got.Error(), c.part) {
			t.Errorf("%v becomes %v, want %q in it", c.err, got, c.part)
		}
	}
	for _, err := range []error{nil, unix.ENOENT} {
		if got := ExplainLimit(err); got != err {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}
