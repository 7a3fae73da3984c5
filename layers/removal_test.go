package layers_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/scratch"
	"github.com/rcrun/rcrun/layers/internal/storetest"

	"github.com/rcrun/rcrun/layers/internal/fewfiles"
)

// tooDeep is deeper than a process may have descriptors with the limit that goes with it.
const (
	tooDeep  = 1000
	fewFiles = 256
)

func TestRemoveDeepContainer(t *testing.T) {
	s := storetest.OpenStore(t)
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "deep",
		storetest.MustImport(t, s, "app", "x")); err != nil {
		t.Fatal(err)
	}
	stack, err := s.ContainerStack(context.Background(), storetest.ContainerID(1))
	if err != nil {
		t.Fatal(err)
	}
	storetest.MakeDeep(t, stack.Upper, tooDeep)
	fewfiles.Limit(t, fewFiles)
	if err := s.RemoveContainer(context.Background(), storetest.ContainerID(1)); err != nil {
		t.Fatal(err)
	}
	storetest.IsClean(t, s)
}

// TestStaleRemoval opens a store in which a process was killed that removed a deep layer as the library does it.
func TestStaleRemoval(t *testing.T) {
	for _, kind := range []string{"of the driver", "of the records"} {
		t.Run(kind, func(t *testing.T) {
			s := storetest.OpenStore(t)
			root := filepath.Join(s.Core().Root, driver.Fuse, "tempdirs")
			if kind == "of the records" {
				root = filepath.Join(s.Core().RecordDir(core.LayerRecords), "tmp")
			}
			dir, lock := filepath.Join(root, "temp-dir-1"), filepath.Join(root, "lock-1")
			used := filepath.Join(root, "temp-dir-2")
			for _, d := range []string{dir + "/0-layer", used} {
				if err := os.MkdirAll(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(lock, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			storetest.MakeDeep(t, dir+"/0-layer", tooDeep)
			holder := storetest.HoldLock(t, filepath.Join(root, "lock-2"))
			fewfiles.Limit(t, fewFiles)
			other, err := layers.Open(layers.Options{Root: s.Core().Root, RunRoot: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			for _, path := range []string{dir, lock} {
				if _, err := os.Lstat(path); !os.IsNotExist(err) {
					t.Errorf("%s: %v", path, err)
				}
			}
			if _, err := os.Lstat(used); err != nil {
				t.Errorf("the directory of a process that lives: %v", err)
			}
			holder.Close()
			if names, err := scratch.NamesIn(s.Core().TempRoot()); err != nil || len(names) > 0 {
				t.Errorf("left: %v, %v", names, err)
			}
		})
	}
}
