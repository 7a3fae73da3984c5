package events

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// writerVariable names the directory and the prefix of a process that writes until it is killed.
const writerVariable = "RCRUN_TEST_EVENT_WRITER"

const (
	killedSegment  = 4000
	killedSegments = 100_000
)

func TestMain(m *testing.M) {
	if dir, prefix, isWriter := strings.Cut(os.Getenv(writerVariable), ":"); isWriter {
		writeForever(dir, prefix)
	}
	os.Exit(m.Run())
}

// writeForever writes events with ascending numbers, and the number of each to standard output when it is written.
func writeForever(dir, prefix string) {
	j := New(dir)
	j.segmentSize, j.segments = killedSegment, killedSegments
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s%06d", prefix, i)
		if err := j.Append(event(id)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(id)
	}
}

// writer is a process that writes until it is killed.
type writer struct {
	cmd    *exec.Cmd
	prefix string
	done   chan struct{}
	last   string // that it said to have written, once done is closed
}

func startWriter(t *testing.T, dir string, number int) *writer {
	t.Helper()
	w := &writer{cmd: exec.Command(os.Args[0]), prefix: fmt.Sprintf("w%03d-", number), done: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), writerVariable+"="+dir+":"+w.prefix)
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		lines := bufio.NewReader(stdout)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			w.last = strings.TrimSuffix(line, "\n")
		}
	}()
	return w
}

// kill ends the writer in the middle of whatever it does.
func (w *writer) kill() {
	w.cmd.Process.Kill()
	<-w.done
	w.cmd.Wait()
}

// TestKilledWriters has twenty processes write at once, kills them one after the other and starts others in their
// place. Every event that a process said to have written must be there once, in order; and a follower must have seen
// what a reader finds afterwards.
func TestKilledWriters(t *testing.T) {
	j := smallJournal(t, killedSegment, killedSegments)
	f := j.follow(t)
	var writers []*writer
	for i := range 20 {
		writers = append(writers, startWriter(t, j.dir, i))
	}
	for numbers := []uint64{}; len(numbers) < 10; time.Sleep(10 * time.Millisecond) {
		var err error
		if numbers, err = j.numbers(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		writers[i].kill()
		writers = append(writers, startWriter(t, j.dir, 20+i))
		time.Sleep(10 * time.Millisecond)
	}
	var killing sync.WaitGroup
	for _, w := range writers[20:] {
		killing.Go(w.kill)
	}
	killing.Wait()
	j.mustAppend(t, event("end"))

	got := j.ids(t, all)
	if seen := f.end(t, "end"); !slices.Equal(seen, got) || f.lost != 0 {
		t.Errorf("a follower saw %d events, and there are %d", len(seen), len(got))
	}
	written := 0
	for _, w := range writers {
		own := withPrefix(got, w.prefix)
		written += len(own)
		checkWriter(t, w, own)
	}
	if written+1 != len(got) {
		t.Errorf("%d of %d events are of no writer", len(got)-written-1, len(got))
	}
}

// checkWriter wants the events of a killed writer to be all that it has announced, and at most one more.
func checkWriter(t *testing.T, w *writer, own []string) {
	t.Helper()
	for i, id := range own {
		if id != fmt.Sprintf("%s%06d", w.prefix, i) {
			t.Fatalf("event %d of %s is %s", i, w.prefix, id)
		}
	}
	announced := 0
	if w.last != "" {
		if _, err := fmt.Sscanf(strings.TrimPrefix(w.last, w.prefix), "%d", &announced); err != nil {
			t.Fatalf("%s: %v", w.last, err)
		}
		announced++
	}
	if len(own) != announced && len(own) != announced+1 {
		t.Errorf("%s has written %d events, and said so of %d", w.prefix, len(own), announced)
	}
}

// TestKilledBetweenSegments wants the next writer to go on where one was killed while it began a new segment.
func TestKilledBetweenSegments(t *testing.T) {
	j := smallJournal(t, 300, 2)
	j.mustAppend(t, event("a"))
	for _, number := range []uint64{2, 3, 4} { // an empty new segment, and old ones that were not removed
		if err := os.WriteFile(j.segment(number), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j.mustAppend(t, event("b"), event("c"), event("d"))
	entries, err := filepath.Glob(j.path("0*"))
	if err != nil || len(entries) != 2 {
		t.Errorf("%q, %v", entries, err)
	}
	got := j.ids(t, all)
	if len(got) == 0 || got[len(got)-1] != "d" {
		t.Errorf("%q", got)
	}
}
