package rmtree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/rmtree"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// isGone fails the test if there is something at path.
func isGone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is still there: %v", path, err)
	}
}

// makeDeep makes that many directories in each other, and a file in each.
func makeDeep(t *testing.T, dir string, depth int) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o700))
	fd, err := unix.Open(dir, unix.O_PATH, 0)
	must(t, err)
	for range depth {
		must(t, unix.Mkdirat(fd, "d", 0o700))
		file, err := unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o600)
		must(t, err)
		unix.Close(file)
		next, err := unix.Openat(fd, "d", unix.O_PATH, 0)
		must(t, err)
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
}

// limitFiles gives the process few descriptors for the time of a test.
func limitFiles(t *testing.T, most uint64) {
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: before.Max}))
	t.Cleanup(func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) })
}

func TestRemoveDeep(t *testing.T) {
	limitFiles(t, 256)
	dir := filepath.Join(t.TempDir(), "deep")
	makeDeep(t, dir, 21000)
	must(t, rmtree.Remove(dir))
	isGone(t, dir)
}

func TestRemoveAnything(t *testing.T) {
	kept := t.TempDir()
	must(t, os.WriteFile(filepath.Join(kept, "file"), nil, 0o600))
	for name, setUp := range map[string]func(path string) error{
		"nothing": func(string) error { return nil },
		"file":    func(path string) error { return os.WriteFile(path, nil, 0) },
		"link":    func(path string) error { return os.Symlink(kept, path) },
		"link in tree": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700),
				os.Symlink(kept, path+"/link"))
		},
		"closed": func(path string) error { return closedTree(path) },
		"wide": func(path string) error {
			err := os.Mkdir(path, 0o700)
			for i := range 3000 {
				err = errors.Join(err, os.MkdirAll(filepath.Join(path, strconv.Itoa(i%40), strconv.Itoa(i)), 0o700))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			must(t, setUp(path))
			must(t, rmtree.Remove(path))
			isGone(t, path)
			must(t, setUp(path))
			dir, err := os.Open(filepath.Dir(path))
			must(t, err)
			defer dir.Close()
			must(t, rmtree.At(int(dir.Fd()), "x"))
			isGone(t, path)
			_, err = os.Lstat(filepath.Join(kept, "file"))
			must(t, err)
		})
	}
	must(t, rmtree.Remove(filepath.Join(kept, "no", "such")))
}

// closedTree makes directories that their owner may not read, search or change.
func closedTree(path string) error {
	err := os.Mkdir(path, 0o700)
	for mode := fs.FileMode(0); mode <= 0o700; mode += 0o100 {
		dir := filepath.Join(path, mode.String())
		err = errors.Join(err, os.MkdirAll(filepath.Join(dir, "sub"), 0o700), os.WriteFile(dir+"/sub/file", nil, 0))
		err = errors.Join(err, os.Chmod(dir+"/sub", mode), os.Chmod(dir, mode))
	}
	return errors.Join(err, os.Chmod(path, 0))
}

// TestRemoveSays wants the operation, the path and the cause in an error, and the rest of the tree removed.
func TestRemoveSays(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("nothing is closed to root")
	}
	parent := filepath.Join(t.TempDir(), "parent")
	must(t, os.MkdirAll(parent+"/tree/a", 0o700))
	must(t, os.Chmod(parent, 0o500))
	t.Cleanup(func() { os.Chmod(parent, 0o700) })
	err := rmtree.Remove(parent + "/tree")
	if want := "remove " + parent + "/tree: permission denied"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	isGone(t, parent+"/tree/a")
}

// TestRemoveWhileExchanged removes a tree in which directories are exchanged for links to a directory elsewhere, and
// moved there and back. Nothing else of that other directory may go, and all of the tree must.
func TestRemoveWhileExchanged(t *testing.T) {
	work := t.TempDir()
	kept := filepath.Join(work, "kept")
	for i := range 20 {
		must(t, os.MkdirAll(filepath.Join(kept, "a/b/c", strconv.Itoa(i)), 0o700))
	}
	for round := range 10 {
		must(t, os.MkdirAll(filepath.Join(kept, "out"), 0o700))
		dir := filepath.Join(work, "tree")
		must(t, os.Mkdir(dir, 0o700))
		must(t, os.Symlink(kept, dir+"/link"))
		must(t, os.MkdirAll(dir+"/d/"+strings.Repeat("a/b/c/", 40), 0o700)) // deeper than directories are kept open
		for i := range 100 {
			must(t, os.MkdirAll(filepath.Join(dir, "d/a/b/c", strconv.Itoa(i)), 0o700))
		}
		stop := exchange(t, dir, kept)
		err := rmtree.Remove(dir)
		stop()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		isGone(t, dir)
		if left, err := os.ReadDir(kept + "/a/b/c"); err != nil || len(left) != 20 {
			t.Fatalf("round %d: %d of 20 directories elsewhere are left: %v", round, len(left), err)
		}
	}
}

// exchange exchanges names of the tree that TestRemoveWhileExchanged makes until stop is called. It holds descriptors
// of the directories, so that it is not led elsewhere itself.
func exchange(t *testing.T, dir, kept string) (stop func()) {
	var fds []int
	for _, path := range []string{kept, dir, dir + "/d", dir + "/d/a", dir + "/d/a/b/c"} {
		fd, err := unix.Open(path, unix.O_PATH, 0)
		must(t, err)
		fds = append(fds, fd)
	}
	var exchanger sync.WaitGroup
	done := make(chan struct{})
	exchanger.Go(func() {
		for {
			for i, name := range []string{"d", "a", "b", "a"} {
				select {
				case <-done:
					return
				default:
					unix.Renameat2(fds[1], "link", fds[1+i], name, unix.RENAME_EXCHANGE)
					unix.Renameat2(fds[0], "out", fds[4], "a", unix.RENAME_EXCHANGE)
				}
			}
		}
	})
	return func() {
		close(done)
		exchanger.Wait()
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

// TestNothingToRemove removes what is no tree: the working directory stays.
func TestNothingToRemove(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rmtree.Remove(""); err != nil {
		t.Error(err)
	}
	for _, path := range []string{".", "..", "/", "./."} {
		if err := rmtree.Remove(path); !errors.Is(err, unix.EINVAL) {
			t.Errorf("removing %q: %v", path, err)
		}
	}
	if _, err := os.Stat("file"); err != nil {
		t.Error("the working directory was emptied")
	}
}
