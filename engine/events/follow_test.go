package events

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
)

// follower collects the events that Read passes on.
type follower struct {
	cancel context.CancelFunc
	done   chan error

	mu   sync.Mutex
	got  []string // guarded by mu
	lost int      // guarded by mu
}

// follow starts to follow the journal from its first event.
func (j *Journal) follow(t *testing.T) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{cancel: cancel, done: make(chan error, 1)}
	t.Cleanup(cancel)
	query := Query{Since: time.Unix(0, 0), Follow: true, Lost: func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.lost++
	}}
	go func() {
		f.done <- j.Read(ctx, query, func(m events.Message) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.got = append(f.got, m.Actor.ID)
			return nil
		})
	}()
	return f
}

// seen returns what has come so far.
func (f *follower) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// end waits for the event with the id and returns all that came up to it.
func (f *follower) end(t *testing.T, id string) []string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if got := f.seen(); slices.Contains(got, id) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("after a minute the follower has %d events, without %s", len(got), id)
		}
	}
	f.cancel()
	if err := <-f.done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	return f.seen()
}

// TestFollowRotation wants followers to see every event once while segments are full after a few.
func TestFollowRotation(t *testing.T) {
	j := smallJournal(t, 500, 1_000)
	var followers []*follower
	for range 4 {
		followers = append(followers, j.follow(t))
	}
	want := numbered("e", 0, 500)
	for _, id := range want {
		j.mustAppend(t, event(id))
	}
	for _, f := range followers {
		if got := f.end(t, want[len(want)-1]); !slices.Equal(got, want) || f.lost != 0 {
			t.Errorf("%d lost, %d events: %q", f.lost, len(got), got)
		}
	}
}

// TestFollowNew wants a follower without a time to see what comes, and nothing of the past.
func TestFollowNew(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("old"))
	stop := errors.New("stop")
	first := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- j.Read(t.Context(), Query{Follow: true}, func(m events.Message) error {
			first <- m.Actor.ID
			return stop
		})
	}()
	for {
		j.mustAppend(t, event("new"))
		select {
		case id := <-first:
			if err := <-ended; id != "new" || !errors.Is(err, stop) {
				t.Errorf("%s, %v", id, err)
			}
			return
		case <-time.After(10 * time.Millisecond): // it may not follow yet
		}
	}
}

// TestSlowReader wants a reader that segments were removed from under to be told, and to see all that is left.
func TestSlowReader(t *testing.T) {
	j := smallJournal(t, 500, 2)
	want := numbered("e", 0, 100)
	j.mustAppend(t, event(want[0]))
	f := j.follow(t)
	for len(f.seen()) == 0 {
		time.Sleep(time.Millisecond)
	}
	f.mu.Lock() // it stops at its second event
	for _, id := range want[1:] {
		j.mustAppend(t, event(id))
	}
	f.mu.Unlock()
	got := f.end(t, want[len(want)-1])
	if f.lost == 0 {
		t.Errorf("nothing is said to be lost, but %d of %d events", len(got), len(want))
	}
	left := j.ids(t, all)
	if !slices.Equal(got[len(got)-len(left):], left) || !slices.IsSorted(got) ||
		len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("%q, and not in the end %q", got, left)
	}
}

// TestFollowTornLine wants a follower not to see half a line, nor to see one twice whose end came late.
func TestFollowTornLine(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("a"))
	f := j.follow(t)
	line, err := encode(events.Message{Type: "container", Action: "die", TimeNano: 1, Actor: events.Actor{ID: "late"}})
	if err != nil {
		t.Fatal(err)
	}
	appendBytes(t, j.segment(1), line[:20])
	j.mustAppend(t, event("b"))
	appendBytes(t, j.segment(1), line[:len(line)-1])
	j.mustAppend(t, event("c"))
	if got := f.end(t, "c"); !slices.Equal(got, []string{"a", "b", "late", "c"}) {
		t.Errorf("%q", got)
	}
}

// TestRemovedDirectory wants following to end when the journal is removed.
func TestRemovedDirectory(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("a"))
	f := j.follow(t)
	for len(f.seen()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := os.RemoveAll(j.dir); err != nil {
		t.Fatal(err)
	}
	if err := <-f.done; !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestCancelFollowers wants cancelled followers to leave no goroutine and no descriptor.
func TestCancelFollowers(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "events"))
	j.mustAppend(t, event("a"))
	j.follow(t).end(t, "a") // so that the process has what it keeps to its end
	goroutines, descriptors := runtime.NumGoroutine(), openFiles(t)
	var followers []*follower
	for range 50 {
		followers = append(followers, j.follow(t))
	}
	j.mustAppend(t, event("b"))
	for _, f := range followers {
		if got := f.end(t, "b"); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%q", got)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, and %d before", runtime.NumGoroutine(), goroutines)
		}
		time.Sleep(time.Millisecond)
	}
	if got := openFiles(t); !slices.Equal(got, descriptors) {
		t.Errorf("open are %q, and before %q", got, descriptors)
	}
}

// openFiles lists what the process has open, but for the listing itself.
func openFiles(t *testing.T) (files []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err == nil && !strings.HasSuffix(target, "/fd") {
			files = append(files, target)
		}
	}
	slices.Sort(files)
	return files
}
