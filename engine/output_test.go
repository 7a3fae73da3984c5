package engine

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// logged runs the writes through an output and returns a container with that log.
func logged(t *testing.T, writes ...string) *Container {
	t.Helper()
	dirs := testDirs(t)
	c := &Container{ID: strings.Repeat("a", 64), dirs: dirs, State: State{Status: Exited}}
	if err := os.Mkdir(c.dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.write(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(c.path(logFile))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	out := &output{stream: "stdout", log: log}
	for _, text := range writes {
		out.pass([]byte(text))
	}
	out.flush()
	return c
}

func TestLogsReproduceOutput(t *testing.T) {
	long := strings.Repeat("x", 3*maxLogLine+5)
	c := logged(t, "one\ntw", "o\n", "\n", long, "\nlast without end")
	var stdout, stderr bytes.Buffer
	if err := c.Logs(LogOptions{Tail: -1}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if want := "one\ntwo\n\n" + long + "\nlast without end"; stdout.String() != want || stderr.Len() > 0 {
		t.Errorf("got %d bytes and %d of stderr, want %d", stdout.Len(), stderr.Len(), len(want))
	}
}

func TestLogsTail(t *testing.T) {
	c := logged(t, "one\ntwo\nthree\n")
	for n, want := range map[int]string{0: "", 1: "three\n", 2: "two\nthree\n", 9: "one\ntwo\nthree\n"} {
		var stdout bytes.Buffer
		if err := c.Logs(LogOptions{Tail: n}, &stdout, io.Discard); err != nil || stdout.String() != want {
			t.Errorf("tail %d: got %q, %v; want %q", n, stdout.String(), err, want)
		}
	}
}

func TestLogsSurviveTornLine(t *testing.T) {
	c := logged(t, "one\n")
	log, err := os.OpenFile(c.path(logFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(log, `{"log":"tor`+"\n"+`{"log":"after\n","stream":"stderr","time":"2026-01-02T03:04:05Z"}`+"\n")
	log.Close()
	var stdout, stderr bytes.Buffer
	if err := c.Logs(LogOptions{Tail: -1}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if stdout.String() != "one\n" || stderr.String() != "after\n" {
		t.Errorf("got %q and %q", stdout.String(), stderr.String())
	}
	stdout.Reset()
	if err := c.Logs(LogOptions{Tail: -1, Timestamps: true, Since: time.Now().Add(-time.Minute)}, &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	if stamp, text, _ := strings.Cut(stdout.String(), " "); text != "one\n" || !strings.HasSuffix(stamp, "Z") {
		t.Errorf("with timestamps: %q", stdout.String())
	}
}

func TestOutputDropsDeadClient(t *testing.T) {
	var log bytes.Buffer
	out := &output{stream: "stdout", log: &log}
	read, write, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	out.attach(write)
	read.Close()
	out.pass([]byte("to nobody\n"))
	if len(out.clients) != 0 || !strings.Contains(log.String(), "to nobody") {
		t.Errorf("%d clients are left, log is %q", len(out.clients), log.String())
	}
}
