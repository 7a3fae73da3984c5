package fusefs

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/rcrun/rcrun/unionmount"
)

// quietServer is a server that logs to the buffer.
func quietServer(log *bytes.Buffer) *server {
	return &server{log: Options{Logger: slog.New(slog.NewTextHandler(log, nil))}.logger()}
}

// TestQuietServer has a container make requests fail as fast as it can, in a deep directory.
func TestQuietServer(t *testing.T) {
	var log bytes.Buffer
	s := quietServer(&log)
	fault := func(errno syscall.Errno) error {
		return &unionmount.Error{Op: "open", Layer: "/layer", Path: strings.Repeat("/directory", 400) + "/last",
			Err: errno}
	}
	const requests = 10_000
	for range requests {
		for _, op := range []string{"open", "lookup"} {
			if got := s.status(op, fault(syscall.EMFILE)); got != fuse.Status(syscall.EMFILE) {
				t.Fatalf("the kernel is told %v", got)
			}
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 1 || len(lines[0]) > 2*longestText ||
		!strings.Contains(lines[0], "/last in /layer: too many open files") {
		t.Errorf("%d requests without descriptors logged %d lines, the first %.1000q", 2*requests, len(lines), lines[0])
	}
	log.Reset()
	for range requests {
		s.status("read", fault(syscall.EIO))
	}
	s.status("write", fault(syscall.EIO))
	if n := strings.Count(log.String(), "\n"); n != loudest+1 {
		t.Errorf("%d failures of one kind and one of another logged %d lines", requests, n)
	}
}

func TestQuietSaysWhatIsLeftOut(t *testing.T) {
	kinds := newQuiet(slog.DiscardHandler).kinds
	kind, start := messageKind{"read", syscall.EIO}, time.Now()
	for i := range 2 * loudest {
		if _, pass := kinds.count(kind, start); pass != (i < loudest) {
			t.Errorf("message %d: %v", i, pass)
		}
	}
	if left, pass := kinds.count(kind, start.Add(quietPeriod)); left != loudest || !pass {
		t.Errorf("in the next period: %d left out, %v", left, pass)
	}
	if left, pass := kinds.count(kind, start.Add(quietPeriod)); left != 0 || !pass {
		t.Errorf("after that: %d left out, %v", left, pass)
	}
}
