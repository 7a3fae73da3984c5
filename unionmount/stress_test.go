package unionmount

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	// stressWorkers change one union at once.
	stressWorkers = 8
	// stressFactor bounds how many times as many steps they do: each waits for the others, and takes as long as many of
	// TestModel.
	stressFactor = 8
)

// TestStress has workers do random operations on the same few names of one union. Which of them succeed is not known;
// no error may be one that a filesystem does not give, and what is there in the end is there after a remount, too. It
// finds most when built with the race detector. RCRUN_MODEL_SEED and RCRUN_MODEL_FACTOR are as for TestModel.
func TestStress(t *testing.T) {
	for kind, as := range modelLayers() {
		runs, seed := modelRuns(2)
		for i := range runs {
			run := seed + uint64(i)
			t.Run(fmt.Sprintf("%s/seed=%d", kind, run), func(t *testing.T) { stress(t, as, run) })
		}
	}
}

func stress(t *testing.T, as *Layer, seed uint64) {
	steps := 400
	if factor, err := strconv.Atoi(os.Getenv("RCRUN_MODEL_FACTOR")); err == nil {
		steps *= min(factor, stressFactor)
	}
	layers := randomLayers(rand.New(rand.NewPCG(seed, 0)))
	f := plantUnion(t, t.TempDir(), layers...)
	if as != nil {
		f.describe(*as)
	}
	open := openFiles(t)
	f.open()
	var moving sync.Mutex
	var workers sync.WaitGroup
	for i := range stressWorkers {
		w := &worker{fixture: f, r: rand.New(rand.NewPCG(seed, uint64(i+1))), moving: &moving}
		workers.Go(func() {
			for range steps {
				w.step()
			}
			for _, n := range w.held {
				f.u.Forget(n, 1)
			}
		})
	}
	workers.Wait()
	before := f.inventory()
	f.reopen()
	after := f.inventory()
	for _, path := range slices.Sorted(maps.Keys(before)) {
		if before[path] != after[path] {
			t.Errorf("%s: %s; after a remount %s", path, before[path], after[path])
		}
	}
	if len(before) != len(after) {
		t.Errorf("%d entries, after a remount %d", len(before), len(after))
	}
	f.close()
	if left := openFiles(t); left != open {
		t.Errorf("%d files are open, and were %d before", left, open)
	}
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// inventory describes everything that shows, and checks that directories count their subdirectories.
func (f *fixture) inventory() map[string]string {
	f.t.Helper()
	found := map[string]string{}
	f.inventoryOf("", found)
	return found
}

func (f *fixture) inventoryOf(dir string, into map[string]string) {
	f.t.Helper()
	subdirs := uint32(0)
	for _, name := range f.ls(dir) {
		path := strings.TrimPrefix(dir+"/"+name, "/")
		a := f.stat(path)
		text := fmt.Sprintf("%o %d:%d %d names %d bytes", a.Mode, a.UID, a.GID, a.Nlink, a.Size)
		switch a.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			text = fmt.Sprintf("%o %d:%d number %d", a.Mode, a.UID, a.GID, a.Ino)
			subdirs++
			f.inventoryOf(path, into)
		case unix.S_IFREG:
			text += fmt.Sprintf(" number %d %q", a.Ino, f.read(path))
		case unix.S_IFLNK:
			text += " to " + f.read(path)
		}
		must(f.t, f.at(path, func(n *Node) error {
			value, err := f.u.GetXattr(n, "user.t")
			text += fmt.Sprintf(" %q", value)
			if errnoOf(err) == unix.ENODATA || errnoOf(err) == unix.EOPNOTSUPP {
				return nil
			}
			return err
		}))
		into[path] = text
	}
	f.wantLinks(dir, subdirs+2)
}

// worker is one of several goroutines that change a union.
type worker struct {
	*fixture
	r *rand.Rand
	// moving is held around renames to another directory, as the kernel does it, which alone can tell that two of them
	// at once would make a loop.
	moving *sync.Mutex
	held   []*Node // open files
}

// step makes one operation.
func (w *worker) step() {
	path, other := randomPath(w.r), randomPath(w.r)
	what := w.r.IntN(20)
	err := w.do(what, path, other)
	switch errno := errnoOf(err); errno {
	case 0, unix.ENOENT, unix.EEXIST, unix.ENOTDIR, unix.EISDIR, unix.ENOTEMPTY, unix.EINVAL, unix.ENODATA,
		unix.ESTALE, unix.EPERM, unix.EOPNOTSUPP:
	default:
		w.t.Errorf("operation %d on %s and %s: %v", what, path, other, err)
	}
}

func (w *worker) do(what int, path, other string) error {
	switch what {
	case 0, 1:
		return w.create(path, 0o644)
	case 2, 3:
		return w.mkdir(path, 0o755)
	case 4:
		return w.symlink("target of "+path, path)
	case 5:
		return w.link(path, other)
	case 6, 7:
		return w.unlink(path)
	case 8:
		return w.rmdir(path)
	case 9, 10, 11:
		w.moving.Lock()
		defer w.moving.Unlock()
		return w.rename(path, other, []uint{0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[w.r.IntN(4)])
	case 12, 13:
		return w.write(path, fmt.Sprintf("%d", w.r.Uint32()), int64(w.r.IntN(3))*4000)
	case 14:
		return w.truncate(path, int64(w.r.IntN(5000)))
	case 15:
		return w.chmod(path, 0o700|uint32(w.r.IntN(0o100)))
	case 16:
		return w.setXattr(path, "user.t", other)
	case 17:
		return w.at(path, func(n *Node) error { return w.readAll(n) })
	case 18:
		return w.hold(path)
	}
	return w.useHeld()
}

// readAll reads a directory, some entries at a time, or a file.
func (w *worker) readAll(n *Node) error {
	if !n.isDir() {
		_, err := w.contentOf(n)
		return err
	}
	for cookie, more := uint64(0), true; more; {
		more = false
		err := w.u.Readdir(n, cookie, func(e *Dirent) bool {
			if more {
				return false
			}
			cookie, more = e.Cookie, true
			if e.Node != nil {
				w.u.Forget(e.Node, 1)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hold keeps a file open, or closes one.
func (w *worker) hold(path string) error {
	if len(w.held) > 3 {
		w.u.Forget(w.held[0], 1)
		w.held = w.held[1:]
	}
	n, err := w.walk(path)
	if err == nil {
		w.held = append(w.held, n)
	}
	return err
}

// useHeld changes an open file, which may have no name any more.
func (w *worker) useHeld() error {
	if len(w.held) == 0 {
		return nil
	}
	n := w.held[w.r.IntN(len(w.held))]
	if n.Kind() != unix.S_IFREG {
		_, err := w.u.Getattr(n)
		return err
	}
	if _, err := w.u.Write(n, []byte("open"), int64(w.r.IntN(5000)), asRoot); err != nil {
		return err
	}
	_, err := w.contentOf(n)
	return err
}
