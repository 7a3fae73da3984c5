package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine/events"
)

// fakeStore is a store whose containers cannot be removed while failure is set.
type fakeStore struct {
	Store
	failure error
	during  func() // called while a container is being removed
}

func (s *fakeStore) RemoveContainer(context.Context, string) error {
	if s.during != nil {
		s.during()
	}
	return s.failure
}

func (*fakeStore) Close() error { return nil }

// engineOn returns an engine with a store.
func engineOn(t *testing.T, store Store) *Engine {
	t.Helper()
	dirs := testDirs(t)
	return &Engine{Dirs: dirs, events: events.New(dirs.Events()),
		OpenStore: func(context.Context) (Store, error) { return store, nil }}
}

// statusOf returns what a command finds a container doing, and the error in its state.
func statusOf(t *testing.T, e *Engine, ref string) (Status, string) {
	t.Helper()
	c, err := e.Lookup(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return c.State.Status, c.State.Error
}

// TestRemovalFails has the removal of a container fail half-way: it is dead, cannot be used, and can be removed again.
func TestRemovalFails(t *testing.T) {
	store := &fakeStore{failure: errors.New("the disk is on fire")}
	e := engineOn(t, store)
	c := makeRecord(t, e, strings.Repeat("a", 64), "one", Exited)
	held, err := newLock(c.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	held.release()
	store.during = func() {
		if status, _ := statusOf(t, e, "one"); status != Removing {
			t.Errorf("a container that is being removed is %s", status)
		}
	}
	if err := e.Remove(t.Context(), "one", false); !errors.Is(err, store.failure) {
		t.Errorf("remove: %v", err)
	}
	if status, text := statusOf(t, e, "one"); status != Dead || text != "the disk is on fire" {
		t.Errorf("after a removal that failed it is %s: %s", status, text)
	}
	if err := e.sweep(t.Context()); err != nil {
		t.Errorf("a dead container keeps others from being created: %v", err)
	}
	if _, err := c.Hold(t.Context(), false); !errdefs.IsConflict(err) {
		t.Errorf("a dead container can be read: %v", err)
	}
	if _, err := e.Start(t.Context(), c, Streams{}, WinSize{}); !errdefs.IsConflict(err) {
		t.Errorf("a dead container can be started: %v", err)
	}
	store.failure = nil
	if err := e.Remove(t.Context(), "one", false); err != nil {
		t.Errorf("the second removal: %v", err)
	}
	if _, err := e.Lookup(t.Context(), "one"); !errdefs.IsNotFound(err) {
		t.Errorf("a removed container is found: %v", err)
	}
}

// TestRemovalIsInterrupted finds what is left of a removal that was killed: a dead container, which goes with the next
// sweep.
func TestRemovalIsInterrupted(t *testing.T) {
	e := engineOn(t, &fakeStore{})
	c := makeRecord(t, e, strings.Repeat("a", 64), "one", Exited)
	held, err := newLock(c.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.beginRemoval(); err != nil {
		t.Fatal(err)
	}
	held.release()
	if status, text := statusOf(t, e, "one"); status != Dead || text != interrupted {
		t.Errorf("it is %s: %s", status, text)
	}
	if err := e.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Lookup(t.Context(), "one"); !errdefs.IsNotFound(err) {
		t.Errorf("it was not swept up: %v", err)
	}
}

// TestStatusText has every state shown by ps as Docker shows it.
func TestStatusText(t *testing.T) {
	now := time.Now()
	ago := now.Add(-2 * time.Minute)
	for status, want := range map[Status]string{Created: "Created", Running: "Up 2 minutes",
		Paused: "Up 2 minutes (Paused)", Restarting: "Restarting (3) 2 minutes ago", Removing: "Removal In Progress",
		Exited: "Exited (3) 2 minutes ago", Dead: "Dead"} {
		c := &Container{State: State{Status: status, ExitCode: 3, StartedAt: ago, FinishedAt: ago}}
		if got := c.StatusText(now); got != want {
			t.Errorf("%s is shown as %q, want %q", status, got, want)
		}
	}
}
