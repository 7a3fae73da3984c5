package engine

import (
	"os"
	"strings"
	"sync"
	"testing"
)

// A sweep may look at a container just before its maker finishes it, and get the lock just after.
func TestSweepLeavesFinished(t *testing.T) {
	e := &Engine{Dirs: testDirs(t)}
	const rounds = 200
	for i := range rounds {
		id := strings.Repeat(string(rune('a'+i%6)), 64)
		c := &Container{ID: id, Name: "c", dirs: e.Dirs, Config: Config{Cmd: []string{"true"}}, State: State{Status: Created}}
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
