package layers

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// limitFiles gives the process few descriptors for the time of a test.
func limitFiles(t *testing.T, most uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
}

// makeDeep makes that many directories in each other below dir, each with a file.
func makeDeep(t *testing.T, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH, 0)
	for range depth {
		var next int
		if err == nil {
			err = unix.Mkdirat(fd, "d", 0o700)
		}
		if err == nil {
			next, err = unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o600)
		}
		if err == nil {
			unix.Close(next)
			next, err = unix.Openat(fd, "d", unix.O_PATH, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
}

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
			root := filepath.Join(s.root, driverName, "tempdirs")
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

// holdLock locks a file as another process would.
func holdLock(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	return file
}
