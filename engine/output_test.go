package engine

import (
	"bytes"
	"fmt"
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
	out.end()
	return c
}

func TestLogsReproduceOutput(t *testing.T) {
	long := strings.Repeat("x", 3*maxLogLine+5)
	c := logged(t, "one\ntw", "o\n", "\n", long, "\nlast without end")
	var stdout, stderr bytes.Buffer
	if err := c.Logs(t.Context(), LogOptions{Tail: -1}, &stdout, &stderr); err != nil {
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
		if err := c.Logs(t.Context(), LogOptions{Tail: n}, &stdout, io.Discard); err != nil || stdout.String() != want {
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
	if err := c.Logs(t.Context(), LogOptions{Tail: -1}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if stdout.String() != "one\n" || stderr.String() != "after\n" {
		t.Errorf("got %q and %q", stdout.String(), stderr.String())
	}
	stdout.Reset()
	options := LogOptions{Tail: -1, Timestamps: true, Since: time.Now().Add(-time.Minute)}
	if err := c.Logs(t.Context(), options, &stdout, io.Discard); err != nil {
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
	c := newClient(write)
	out.attach(c)
	read.Close()
	out.pass([]byte("to nobody\n"))
	<-c.gone
	if !c.isBroken() || !strings.Contains(log.String(), "to nobody") {
		t.Errorf("broken: %v, log is %q", c.isBroken(), log.String())
	}
}

// A client that does not read holds up the container when it has a backlog, but neither the log nor, once the
// container has ended, anybody; and it gets all of it when it reads after all.
func TestOutputSlowClient(t *testing.T) {
	var log bytes.Buffer
	out := &output{stream: "stdout", log: &log}
	read, write, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	out.attach(newClient(write))
	text := []byte(strings.Repeat("0123456789abcde\n", 2048))
	const writes = 3 * clientBacklog / (16 * 2048)
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		for range writes {
			out.pass(text)
		}
		out.end()
	}()
	fast, fastWrite, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	out.attach(newClient(fastWrite))
	if _, err := io.ReadFull(fast, make([]byte, 1)); err != nil {
		t.Errorf("one who reads gets nothing beside one who does not: %v", err)
	}
	go io.Copy(io.Discard, fast)
	select {
	case <-passed:
		t.Error("the container did not wait for its client")
	default:
	}
	out.payloadEnded()
	<-passed
	if n := strings.Count(log.String(), "\n"); n != writes*2048 {
		t.Errorf("%d lines are in the log, want %d", n, writes*2048)
	}
	got, err := io.ReadAll(read)
	if err != nil || len(got) != writes*len(text) {
		t.Errorf("the slow client got %d bytes, want %d; %v", len(got), writes*len(text), err)
	}
}

func TestLogIsBounded(t *testing.T) {
	c := logged(t)
	w, err := openLog(c.path(logFile), 4000)
	if err != nil {
		t.Fatal(err)
	}
	out := &output{stream: "stdout", log: w}
	for i := range 100 {
		out.pass(fmt.Appendf(nil, "line %d\n", i))
	}
	w.Close()
	for _, name := range []string{logFile, oldLogFile} {
		if info, err := os.Stat(c.path(name)); err != nil || info.Size() > w.max || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	var stdout bytes.Buffer
	if err := c.Logs(t.Context(), LogOptions{Tail: -1}, &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if last := lines[len(lines)-1]; last != "line 99" || len(lines) < 40 {
		t.Errorf("%d lines are left, the last is %q", len(lines), last)
	}
}

func TestLogKeepsCharactersWhole(t *testing.T) {
	text := "x" + strings.Repeat("é", maxLogLine)
	c := logged(t, text)
	var stdout bytes.Buffer
	if err := c.Logs(t.Context(), LogOptions{Tail: -1}, &stdout, io.Discard); err != nil || stdout.String() != text {
		t.Errorf("a long line of two-byte characters came back changed; %v", err)
	}
}

// rotated returns a container whose log is limited to about 50 lines, and what writes lines to it, numbered from 0 on.
func rotated(t *testing.T) (c *Container, write func(lines int)) {
	t.Helper()
	c = logged(t)
	w, err := openLog(c.path(logFile), 4000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	out := &output{stream: "stdout", log: w}
	next := 0
	return c, func(lines int) {
		for range lines {
			out.pass(fmt.Appendf(nil, "line %d\n", next))
			next++
		}
	}
}

// writerFunc is a writer that does something at the first write.
type writerFunc struct {
	got   bytes.Buffer
	first func()
}

func (w *writerFunc) Write(p []byte) (int, error) {
	if first := w.first; first != nil {
		w.first = nil
		first()
	}
	return w.got.Write(p)
}

// TestLogsWhileSetAside has the log set aside while it is read: nothing is left out that is on disk.
func TestLogsWhileSetAside(t *testing.T) {
	for _, c := range []struct{ before, meanwhile int }{{60, 40}, {60, 80}, {10, 45}, {10, 60}} {
		container, write := rotated(t)
		write(c.before)
		out := &writerFunc{first: func() { write(c.meanwhile) }}
		if err := container.Logs(t.Context(), LogOptions{Tail: -1}, out, io.Discard); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.got.String()), "\n")
		var first int
		fmt.Sscanf(lines[0], "line %d", &first)
		for i, line := range lines {
			if want := fmt.Sprintf("line %d", first+i); line != want {
				t.Errorf("%+v: after %d lines from %d on comes %q", c, i, first, line)
				break
			}
		}
		if last := first + len(lines); last != c.before+c.meanwhile {
			t.Errorf("%+v: the last line is %d", c, last-1)
		}
	}
}

// TestLogsTailAcross asks for more last lines than the current part of the log has.
func TestLogsTailAcross(t *testing.T) {
	c, write := rotated(t)
	write(60)
	var out bytes.Buffer
	if err := c.Logs(t.Context(), LogOptions{Tail: 30}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := 30; i < 60; i++ {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	if out.String() != want.String() {
		t.Errorf("the last 30 lines are\n%s", out.String())
	}
}
