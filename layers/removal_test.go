package layers

import (
	"os"
	"path/filepath"
	"testing"
)

// tooDeep is deeper than a process may have descriptors with the limit that goes with it.
const (
	tooDeep  = 1000
	fewFiles = 256
)

func TestRemoveDeepContainer(t *testing.T) {
	s := openStore(t)
	if err := s.CreateContainer(containerID(1), "deep", mustImport(t, s, "app", "x")); err != nil {
		t.Fatal(err)
	}
	stack, err := s.ContainerStack(containerID(1))
	if err != nil {
		t.Fatal(err)
	}
	makeDeep(t, stack.Upper, tooDeep)
	limitFiles(t, fewFiles)
	if err := s.RemoveContainer(containerID(1)); err != nil {
		t.Fatal(err)
	}
	isClean(t, s)
}

// TestStaleRemoval opens a store in which a process was killed that removed a deep layer as the library does it.
func TestStaleRemoval(t *testing.T) {
	for _, kind := range []string{"of the driver", "of the records"} {
		t.Run(kind, func(t *testing.T) {
			s := openStore(t)
			root := filepath.Join(s.root, DriverFuse, "tempdirs")
			if kind == "of the records" {
				root = filepath.Join(s.recordDir(layerRecords), "tmp")
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
			makeDeep(t, dir+"/0-layer", tooDeep)
			holder := holdLock(t, filepath.Join(root, "lock-2"))
			limitFiles(t, fewFiles)
			other, err := Open(Options{Root: s.root, RunRoot: t.TempDir()})
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
			if names, err := namesIn(s.tempRoot()); err != nil || len(names) > 0 {
				t.Errorf("left: %v, %v", names, err)
			}
		})
	}
}
