package fusefs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestManyWorkers has many workers change the same few names of a mount at once, and each a file of its own, by calls
// and through a mapping. What they leave is there when the layers are mounted again. Requests that wait for each
// other would show with one thread first.
func TestManyWorkers(t *testing.T) {
	for name, threads := range map[string]int{"threads": 0, "one thread": 1} {
		t.Run(name, func(t *testing.T) {
			m := newMounted(t, 2)
			m.tuning.Threads = threads
			if !inside() {
				for i := range 2 {
					for _, dir := range []string{"a", "b", "a/c"} {
						must(t, os.MkdirAll(m.lower(i)+"/"+dir, 0o755))
						must(t, os.WriteFile(fmt.Sprintf("%s/%s/%d", m.lower(i), dir, i+1), []byte("lower"), 0o644))
					}
				}
			}
			body := func(t *testing.T, mnt string) {
				want, err := os.ReadFile(m.dir + "/left")
				if errors.Is(err, fs.ErrNotExist) { // the first time
					changeAtOnce(t, mnt)
					must(t, os.WriteFile(m.dir+"/left", []byte(treeOf(t, mnt)), 0o644))
					return
				}
				must(t, err)
				if got := treeOf(t, mnt); got != string(want) {
					t.Errorf("after a remount there is\n%s\nand there was\n%s", got, want)
				}
			}
			m.run(t, body)
			if inside() {
				return
			}
			left, err := os.ReadDir(m.opts.Work + "/stage")
			if err != nil || len(left) > 1 { // the device that whiteouts are links of
				t.Errorf("in the stage: %v, %v", left, err)
			}
			m.run(t, body)
		})
	}
}

// changeAtOnce has many workers at work.
func changeAtOnce(t *testing.T, mnt string) {
	var workers sync.WaitGroup
	for i := range 64 {
		workers.Go(func() {
			w := worker{mnt: mnt, r: rand.New(rand.NewPCG(uint64(i), 0)), own: fmt.Sprintf("%s/own%d", mnt, i),
				want: make([]byte, 20000)}
			if err := w.work(); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
}

type worker struct {
	mnt  string
	r    *rand.Rand
	own  string // a file that no other worker changes
	want []byte // what is in it
}

func (w *worker) work() error {
	file, err := os.Create(w.own)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(int64(len(w.want))); err != nil {
		return err
	}
	mapped, err := unix.Mmap(int(file.Fd()), 0, len(w.want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(mapped)
	for range 60 {
		if err := w.change(w.path(), w.path()); err != nil && !expected(err) {
			return err
		}
		if err := w.changeOwn(file, mapped); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) path() string {
	names := []string{"a", "b", "c", "1", "2"}
	path := w.mnt
	for range 1 + w.r.IntN(3) {
		path += "/" + names[w.r.IntN(len(names))]
	}
	return path
}

// expected tells whether an operation may end with an error because other processes change the same files.
func expected(err error) bool {
	for _, errno := range []unix.Errno{unix.ENOENT, unix.EEXIST, unix.ENOTDIR, unix.EISDIR, unix.ENOTEMPTY,
		unix.EINVAL, unix.EPERM, unix.ESTALE, unix.ELOOP, unix.ENODATA, unix.EOPNOTSUPP} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func (w *worker) change(path, other string) error {
	switch w.r.IntN(11) {
	case 0, 1:
		return os.WriteFile(path, []byte(other), 0o644)
	case 2:
		return os.Mkdir(path, 0o755)
	case 3:
		return os.Remove(path)
	case 4, 5:
		return os.Rename(path, other)
	case 6:
		return unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
	case 7:
		return os.Link(path, other)
	case 8:
		return unix.Lsetxattr(path, "user.t", []byte(other), 0)
	case 9:
		_, err := os.ReadDir(filepath.Dir(path))
		return err
	}
	_, err := os.Lstat(path)
	return err
}

// changeOwn writes to the worker's own file, through the mapping or not, and reads it the other way.
func (w *worker) changeOwn(file *os.File, mapped []byte) error {
	data := []byte(fmt.Sprint(w.r.Uint64()))
	at := w.r.IntN(len(w.want) - len(data))
	copy(w.want[at:], data)
	got := make([]byte, len(w.want))
	switch w.r.IntN(3) {
	case 0:
		copy(mapped[at:], data)
		if _, err := file.ReadAt(got, 0); err != nil {
			return err
		}
	case 1:
		if _, err := file.WriteAt(data, int64(at)); err != nil {
			return err
		}
		copy(got, mapped)
	case 2:
		copy(mapped[at:], data)
		if err := file.Sync(); err != nil {
			return err
		}
		read, err := os.ReadFile(w.own)
		if err != nil {
			return err
		}
		got = read
	}
	if !bytes.Equal(got, w.want) {
		return fmt.Errorf("%s does not hold what was written", w.own)
	}
	return nil
}

// treeOf describes all that is below a directory.
func treeOf(t *testing.T, root string) string {
	t.Helper()
	var text strings.Builder
	must(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s %o %d names, number %d", strings.TrimPrefix(path, root), st.Mode, st.Nlink, st.Ino)
		if e.Type().IsRegular() {
			data, err := os.ReadFile(path)
			fmt.Fprintf(&text, " %q", data)
			if err != nil {
				return err
			}
		}
		text.WriteString("\n")
		return nil
	}))
	return text.String()
}
