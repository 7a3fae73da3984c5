package events

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"golang.org/x/sys/unix"
)

// smallJournal is a journal whose segments are soon full.
func smallJournal(t *testing.T, size int64, keep uint64) *Journal {
	t.Helper()
	j := New(filepath.Join(t.TempDir(), "events"))
	j.segmentSize, j.segments = size, keep
	return j
}

// event is an event about the actor id.
func event(id string) events.Message {
	return events.Message{Type: events.ContainerEventType, Action: events.ActionStart,
		Actor: events.Actor{ID: id, Attributes: map[string]string{"name": "n"}}}
}

func (j *Journal) mustAppend(t *testing.T, messages ...events.Message) {
	t.Helper()
	for _, message := range messages {
		if err := j.Append(message); err != nil {
			t.Fatal(err)
		}
	}
}

// all is a query for whatever is in the journal.
var all = Query{Until: time.Unix(1<<40, 0)}

// ids returns the actors of the events that a query selects.
func (j *Journal) ids(t *testing.T, query Query) []string {
	t.Helper()
	found := []string{}
	err := j.Read(t.Context(), query, func(m events.Message) error {
		found = append(found, m.Actor.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (j *Journal) wantIDs(t *testing.T, query Query, want ...string) {
	t.Helper()
	if got := j.ids(t, query); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func numbered(prefix string, from, to int) (ids []string) {
	for i := from; i < to; i++ {
		ids = append(ids, fmt.Sprintf("%s%04d", prefix, i))
	}
	return ids
}

func TestReadBack(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.wantIDs(t, all)
	before := time.Now()
	j.Record(events.ContainerEventType, events.ActionDie,
		events.Actor{ID: "c", Attributes: map[string]string{"exitCode": "3"}})
	var got []events.Message
	err := j.Read(t.Context(), all, func(m events.Message) error {
		got = append(got, m)
		return nil
	})
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	m := got[0]
	if m.Type != "container" || m.Action != "die" || m.Actor.ID != "c" || m.Actor.Attributes["exitCode"] != "3" ||
		m.Scope != "local" {
		t.Errorf("%+v", m)
	}
	if at := time.Unix(0, m.TimeNano); at.Before(before) || at.After(time.Now()) || at.Unix() != m.Time {
		t.Errorf("at %v and %d, and not between %v and now", at, m.Time, before)
	}
	if info, err := os.Stat(j.segment(1)); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestSpan wants what Docker has: nothing of the past, unless one of the times asks for it.
func TestSpan(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("a"))
	between := time.Now()
	j.mustAppend(t, event("b"))
	j.wantIDs(t, Query{})
	j.wantIDs(t, Query{Since: between}, "b")
	j.wantIDs(t, Query{Until: between}, "a")
	j.wantIDs(t, Query{Until: between, Follow: true}, "a")
	j.wantIDs(t, Query{Since: time.Unix(0, 0)}, "a", "b")
	j.wantIDs(t, Query{Since: time.Now()})
	err := j.Read(t.Context(), Query{Since: time.Now(), Until: between}, nil)
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("since after until: %v", err)
	}
	// Following up to a time ends then, with what has been written up to it.
	done := make(chan []string)
	query := Query{Since: between, Until: time.Now().Add(time.Second), Follow: true}
	go func() { done <- j.ids(t, query) }()
	j.mustAppend(t, event("c"))
	if got := <-done; !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("%q", got)
	}
}

// TestNoDirectoryAbove wants a journal not to bring back a removed directory of state.
func TestNoDirectoryAbove(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "gone", "events"))
	if err := j.Append(event("a")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	var warnings []error
	j.Warn = func(err error) { warnings = append(warnings, err) }
	for range 3 {
		j.Record(events.ContainerEventType, events.ActionDie, events.Actor{ID: "c"})
	}
	if len(warnings) != 1 || !errors.Is(warnings[0], os.ErrNotExist) {
		t.Errorf("warnings %v", warnings)
	}
	if _, err := os.Stat(filepath.Dir(j.dir)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	j.wantIDs(t, all)
}

// TestBound wants old segments to go, and a reader to see the newest events without a gap.
func TestBound(t *testing.T) {
	const size, keep = 1000, 3
	j := smallJournal(t, size, keep)
	want := numbered("e", 0, 200)
	for _, id := range want {
		j.mustAppend(t, event(id))
	}
	var total int64
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > size*keep {
		t.Errorf("the journal has %d bytes", total)
	}
	got := j.ids(t, all)
	if len(got) < 10 || !slices.Equal(got, want[len(want)-len(got):]) {
		t.Errorf("%q", got)
	}
}

func TestLargeEvents(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	long := strings.Repeat("é", maxLine)
	message := event("a")
	message.Action = events.Action("exec_create: " + long)
	message.Actor.Attributes = map[string]string{"name": "n", "label": long, "another": long[:len(long)/8] + "\x01"}
	j.mustAppend(t, message)
	var got []events.Message
	if err := j.Read(t.Context(), all, func(m events.Message) error {
		got = append(got, m)
		return nil
	}); err != nil || len(got) != 1 {
		t.Fatalf("%d events, %v", len(got), err)
	}
	if n := len(got[0].Action); n > maxAction || n < maxAction-1 {
		t.Errorf("an action of %d bytes", n)
	}
	if attributes := got[0].Actor.Attributes; attributes["name"] != "n" || attributes["label"] != "" ||
		len(attributes) != 2 {
		t.Errorf("%d attributes", len(attributes))
	}
	if len(message.Actor.Attributes) != 3 {
		t.Error("the caller's attributes were changed")
	}
	if err := j.Append(events.Message{Actor: events.Actor{ID: long}}); err == nil {
		t.Error("an id of 128 KiB was written")
	}
}

// TestTornLine wants half a line to hide no other event, wherever it stands.
func TestTornLine(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("a"))
	line, err := encode(events.Message{Type: "container", Action: "die", TimeNano: 1, Actor: events.Actor{ID: "torn"}})
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(line); cut++ {
		appendBytes(t, j.segment(1), line[:cut])
		whole := cut == len(line)-1 // only its end is missing
		want := "a"
		if whole {
			want += " torn"
		}
		if got := strings.Join(j.ids(t, all), " "); got != want {
			t.Errorf("before the next event, with %d bytes: %q", cut, got)
		}
		j.mustAppend(t, event("b"))
		if got := strings.Join(j.ids(t, all), " "); got != want+" b" {
			t.Errorf("after the next event, with %d bytes: %q", cut, got)
		}
		if err := os.Remove(j.segment(1)); err != nil {
			t.Fatal(err)
		}
		j.mustAppend(t, event("a"))
	}
}

// TestFullDisk wants an event that there is no room for to leave nothing.
func TestFullDisk(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("a"))
	info, err := os.Stat(j.segment(1))
	if err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(unix.SIGXFSZ)
	small := unix.Rlimit{Cur: uint64(info.Size()) + 20, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	failed := j.Append(event("b"))
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	signal.Reset(unix.SIGXFSZ)
	if !errors.Is(failed, unix.EFBIG) {
		t.Errorf("writing half a line: %v", failed)
	}
	if after, err := os.Stat(j.segment(1)); err != nil || after.Size() != info.Size() {
		t.Errorf("%d bytes, and %d before, %v", after.Size(), info.Size(), err)
	}
	j.mustAppend(t, event("c"))
	j.wantIDs(t, all, "a", "c")
}

func appendBytes(t *testing.T, path string, text []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
}

// TestStoppedWriter wants others not to wait for ever for a process that was stopped in the middle.
func TestStoppedWriter(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("a"))
	held, err := waitLock(j.path(lockName), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := waitLock(j.path(lockName), 10*time.Millisecond); err == nil {
		t.Error("two have the lock")
	}
	waited := make(chan error)
	go func() {
		second, err := waitLock(j.path(lockName), time.Minute)
		if err == nil {
			second.Close()
		}
		waited <- err
	}()
	j.patience = 20 * time.Millisecond
	if err := j.Append(event("late")); !errors.Is(err, errStuck) {
		t.Error(err)
	}
	j.patience = time.Hour // for which the next ones do not wait
	for range 3 {
		if err := j.Append(event("late")); !errors.Is(err, errStuck) {
			t.Error(err)
		}
	}
	held.Close()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	for j.Append(event("b")) != nil { // who gave up gives the lock back when it gets it
		time.Sleep(time.Millisecond)
	}
	j.wantIDs(t, all, "a", "b")
}

// TestOtherFiles wants files that are no segments left alone.
func TestOtherFiles(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("a"))
	for _, name := range []string{"000000000000", "00000000000x", "5", "+00000000007"} {
		if err := os.WriteFile(j.path(name), []byte("no segment"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(j.segment(9), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(j.segment(10), 0o600); err != nil {
		t.Fatal(err)
	}
	j.mustAppend(t, event("b"))
	j.wantIDs(t, all, "a", "b")
}

// TestForeignDirectory wants a directory refused that others may write to.
func TestForeignDirectory(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	if err := os.Mkdir(j.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(j.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(event("a")); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Error(err)
	}
}

// TestManyGoroutines has one journal used by several goroutines at once.
func TestManyGoroutines(t *testing.T) {
	j := smallJournal(t, 4000, 1000)
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for _, id := range numbered(fmt.Sprint(i, "-"), 0, 50) {
				j.Record(events.ContainerEventType, events.ActionStart, events.Actor{ID: id})
			}
		})
	}
	writers.Wait()
	got := j.ids(t, all)
	for i := range 8 {
		prefix := fmt.Sprint(i, "-")
		if own := withPrefix(got, prefix); !slices.Equal(own, numbered(prefix, 0, 50)) {
			t.Errorf("writer %d: %q", i, own)
		}
	}
}

func withPrefix(ids []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, prefix) })
}

func FuzzForeignBytes(f *testing.F) {
	f.Add([]byte("\n\n{}\n"))
	f.Add([]byte(`{"Type":"container","Action":"die","timeNano":1,"Actor":{"ID":"x"}}`))
	f.Add([]byte("\x00\x00\xff"))
	f.Add([]byte(strings.Repeat("x", 2*maxLine)))
	f.Add([]byte(strings.Repeat("[", maxLine) + "\n"))
	f.Fuzz(func(t *testing.T, foreign []byte) {
		j := New(filepath.Join(t.TempDir(), "events"))
		j.mustAppend(t, event("first"))
		appendBytes(t, j.segment(1), foreign)
		j.mustAppend(t, event("last"))
		if got := j.ids(t, all); len(got) < 2 || got[0] != "first" || got[len(got)-1] != "last" {
			t.Errorf("%q", got)
		}
	})
}

// TestCancelBefore wants a cancelled context to end reading at once.
func TestCancelBefore(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, follow := range []bool{false, true} {
		query := all
		query.Follow = follow
		err := j.Read(ctx, query, func(events.Message) error { return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("follow %v: %v", follow, err)
		}
	}
}
