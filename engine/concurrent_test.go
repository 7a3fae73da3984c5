package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine/events"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/wire"
)

// dirStore is a store that has the layer of each container in a directory of its own, and no images.
type dirStore struct{ dir string }

func (s dirStore) path(id, name string) string { return filepath.Join(s.dir, id, name) }

func (dirStore) Driver() string { return layerfmt.DriverFuse }

func (s dirStore) CreateContainer(_ context.Context, id, _, _ string, _ layerfmt.Quota) error {
	return errors.Join(os.MkdirAll(s.path(id, "diff"), 0o700), os.MkdirAll(s.path(id, "work"), 0o700))
}

func (s dirStore) RemoveContainer(_ context.Context, id string) error {
	return os.RemoveAll(filepath.Join(s.dir, id))
}

func (s dirStore) ContainerStack(_ context.Context, id string) (layerfmt.Stack, error) {
	stack := layerfmt.Stack{Driver: layerfmt.DriverFuse, Upper: s.path(id, "diff"), Work: s.path(id, "work")}
	_, err := os.Stat(stack.Upper)
	return stack, err
}

func (s dirStore) ContainerSize(_ context.Context, id string) (int64, error) {
	_, err := os.Stat(s.path(id, "diff"))
	return 1, err
}

// Callers of one engine, as many as an API server may have, do everything at once.
func TestConcurrentCallers(t *testing.T) {
	const callers, rounds = 32, 2
	running := serveSilent(t)
	store := dirStore{t.TempDir()}
	e := &Engine{Dirs: running.dirs, events: events.New(running.dirs.Events()),
		OpenStore: func(context.Context) (Store, error) { return store, nil }}
	var all sync.WaitGroup
	var named atomic.Int32
	for i := range callers {
		all.Go(func() {
			for round := range rounds {
				if err := useEngine(t.Context(), e, fmt.Sprintf("c%d-%d", i, round), running.ID, &named); err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	if named.Load() != 1 {
		t.Errorf("%d of %d got the one name", named.Load(), callers*rounds)
	}
	list, broken, err := e.List(t.Context())
	if err != nil || len(broken) > 0 || len(list) != 2 {
		t.Errorf("left are %d containers, %v, %v", len(list), broken, err)
	}
	if left, err := os.ReadDir(store.dir); err != nil || len(left) != 1 {
		t.Errorf("left are the layers of %v, %v", left, err)
	}
}

// useEngine does all that can be done without a monitor, and asks that of the container which runs.
func useEngine(ctx context.Context, e *Engine, name, running string, named *atomic.Int32) error {
	options := CreateOptions{Name: name, Config: Config{Cmd: []string{"true"}}}
	mine, err := e.Create(ctx, options, nil)
	if err != nil {
		return err
	}
	options.Name = "wanted-by-all"
	if _, err := e.Create(ctx, options, nil); err == nil {
		named.Add(1)
	} else if !errdefs.IsConflict(err) {
		return fmt.Errorf("a name that is taken: %w", err)
	}
	if _, _, err := e.List(ctx); err != nil {
		return err
	}
	found, err := e.Lookup(ctx, mine.ID[:20])
	if err != nil || found.Name != name {
		return fmt.Errorf("look up: %v, %w", found, err)
	}
	if release, err := found.Hold(ctx, true); err != nil {
		return err
	} else if err := release(); err != nil {
		return err
	}
	if err := askRunning(ctx, e, running); err != nil {
		return err
	}
	removed, _, err := e.Prune(ctx, func(c *Container) bool { return c.Name == name })
	if err == nil && len(removed) == 0 {
		err = errors.New("nothing is pruned")
	}
	if err := e.Remove(ctx, name, true); !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove what is pruned: %w", err)
	}
	return err
}

// askRunning asks the monitor of a container that ignores signals.
func askRunning(ctx context.Context, e *Engine, id string) error {
	c, err := e.Lookup(ctx, id)
	if err != nil {
		return err
	}
	if err := c.Signal(ctx, syscall.SIGUSR1); err != nil {
		return err
	}
	session, err := c.Attach(ctx, Streams{}, WinSize{})
	if err != nil {
		return err
	}
	defer session.Close()
	return session.Resize(ctx, WinSize{Rows: 24, Cols: 80})
}

// A call whose context has ended before does nothing.
func TestCancelledBefore(t *testing.T) {
	running := serveAs(t, func(*wire.Conn, wire.Message) { t.Error("the monitor was asked") })
	e := &Engine{Dirs: running.dirs, OpenStore: func(context.Context) (Store, error) { return nil, fs.ErrInvalid }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range following {
		if name != "logs" {
			if err := call(ctx, running); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	options := CreateOptions{Config: Config{Cmd: []string{"true"}}}
	if _, err := e.Create(ctx, options, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("create: %v", err)
	}
	if _, _, err := e.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v", err)
	}
	if err := e.Remove(ctx, running.ID, true); !errors.Is(err, context.Canceled) {
		t.Errorf("remove: %v", err)
	}
	if ids, err := e.Dirs.ids(); err != nil || len(ids) != 1 {
		t.Errorf("there are %q, %v", ids, err)
	}
}
