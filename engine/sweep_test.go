package engine

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/engine/events"
)

// A sweep may look at a container just before its maker finishes it, and get the lock just after.
func TestSweepLeavesFinished(t *testing.T) {
	e := &Engine{Dirs: testDirs(t)}
	const rounds = 200
	for i := range rounds {
		id := strings.Repeat(string(rune('a'+i%6)), 64)
		c := &Container{ID: id, Name: "c", dirs: e.Dirs, Config: Config{Cmd: []string{"true"}},
			State: State{Status: Created}}
		if err := os.Mkdir(c.dir(), 0o700); err != nil {
			t.Fatal(err)
		}
		held, err := newLock(c.lockPath())
		if err != nil {
			t.Fatal(err)
		}
		if err := markUnfinished(c.dir()); err != nil {
			t.Fatal(err)
		}
		made := make(chan struct{})
		var sweepers sync.WaitGroup
		for range 4 {
			sweepers.Go(func() {
				for {
					if err := e.sweep(t.Context()); err != nil {
						t.Error(err)
					}
					select {
					case <-made:
						return
					default:
					}
				}
			})
		}
		err = c.write()
		held.release()
		close(made)
		sweepers.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Dirs.load(id); err != nil {
			t.Fatalf("round %d: a finished container was swept up: %v", i, err)
		}
		if err := os.RemoveAll(c.dir()); err != nil {
			t.Fatal(err)
		}
	}
}

// noLayers is an image store of containers without layers.
type noLayers struct{ Store }

func (noLayers) RemoveContainer(context.Context, string) error { return nil }

// written makes a container with a record, and no layer.
func written(t *testing.T, e *Engine, id string) *Container {
	t.Helper()
	c := &Container{ID: id, Name: "c", dirs: e.Dirs, Config: Config{Cmd: []string{"true"}},
		State: State{Status: Created}}
	if err := os.Mkdir(c.dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	held, err := newLock(c.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	defer held.release()
	if err := c.write(); err != nil {
		t.Fatal(err)
	}
	return c
}

// storeless returns an engine for containers without layers.
func storeless(t *testing.T) *Engine {
	t.Helper()
	e, err := New(testDirs(t))
	if err != nil {
		t.Fatal(err)
	}
	e.OpenStore = func(context.Context) (Store, error) { return noLayers{}, nil }
	return e
}

// TestSweepLeavesRemover wants a sweep to leave a container alone that another process is removing.
func TestSweepLeavesRemover(t *testing.T) {
	e := storeless(t)
	c := written(t, e, strings.Repeat("a", 64))
	held, err := c.tryLock()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.beginRemoval(); err != nil {
		t.Fatal(err)
	}
	if err := e.sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.path(configFile)); err != nil {
		t.Errorf("the container was removed under its remover: %v", err)
	}
	held.release() // as when the remover is killed
	if err := e.sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.dir()); !os.IsNotExist(err) {
		t.Errorf("what a killed remover left is there: %v", err)
	}
}

// TestDestroyOnce has several remove one container at once, as where its lock file is gone already: one event says so.
func TestDestroyOnce(t *testing.T) {
	e := storeless(t)
	for i := range 50 {
		id := strings.Repeat(string(rune('a'+i%6)), 64)
		written(t, e, id)
		var removers sync.WaitGroup
		for range 4 {
			removers.Go(func() { e.destroy(t.Context(), id) }) // the others get in the way of each
		}
		removers.Wait()
		if err := os.RemoveAll(e.Dirs.Container(id)); err != nil {
			t.Fatal(err)
		}
	}
	destroyed := 0
	err := e.Events().Read(t.Context(), events.Query{Since: time.Unix(0, 0)}, func(api.Message) error {
		destroyed++
		return nil
	})
	if err != nil || destroyed != 50 {
		t.Errorf("%d events of 50 removals, %v", destroyed, err)
	}
}
