package posix

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// many is how many files a directory has that is read while it is being changed.
const many = 2000

// fill makes the files of a directory in the lower layer and in the upper, as many in each as their shares say.
func fill(t *testing.T, f *filesystem, lower, upper int) string {
	t.Helper()
	f.addLayer()
	dir := f.root + "/d"
	must(t, os.Mkdir(dir, 0o755))
	for i := range many {
		if i == lower {
			f.remount(true)
		}
		must(t, os.WriteFile(fmt.Sprintf("%s/%04d", dir, i), nil, 0o644))
	}
	if lower == many {
		f.remount(true)
	}
	return dir
}

// entries reads some entries of an open directory but "." and "..", as many as a buffer takes.
func entries(t *testing.T, fd int) []string {
	t.Helper()
	buf := make([]byte, 4<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		must(t, err)
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		if n == 0 || len(names) > 0 {
			return names
		}
	}
}

// directory is one that is read twice at the same time.
type directory struct {
	t    *testing.T
	path string
}

func (d *directory) open() int {
	d.t.Helper()
	fd, err := unix.Open(d.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(d.t, err)
	return fd
}

// readChanging reads the directory to its end, calling change for every name, while another reader has begun before and
// goes on afterwards. It returns how often each saw which name.
func (d *directory) readChanging(change func(path string) error) (seen, other map[string]int) {
	d.t.Helper()
	seen, other = map[string]int{}, map[string]int{}
	a, b := d.open(), d.open()
	defer unix.Close(a)
	defer unix.Close(b)
	count(other, entries(d.t, b))
	total := 0
	for names := entries(d.t, a); len(names) > 0; names = entries(d.t, a) {
		count(seen, names)
		for _, name := range names {
			must(d.t, change(d.path+"/"+name))
		}
		if total += len(names); total > 2*many {
			d.t.Fatalf("%d names were seen, and there is no end", total)
		}
	}
	for names := entries(d.t, b); len(names) > 0; names = entries(d.t, b) {
		count(other, names)
	}
	return seen, other
}

func count(seen map[string]int, names []string) {
	for _, name := range names {
		seen[name]++
	}
}

// TestReadingWhileChanging has a directory read by a process that renames each entry that it meets, or makes another
// for it: it comes to an end. What stays is seen exactly once, and a file that is renamed at most twice.
func TestReadingWhileChanging(t *testing.T) {
	shares := map[string][2]int{"upper": {0, many}, "lower": {many, 0}, "merged": {many / 2, many / 2}}
	for name, k := range kinds {
		for where, share := range shares {
			t.Run(name+" "+where, func(t *testing.T) {
				t.Parallel()
				if k.kernel {
					needOverlay(t)
				}
				dir := t.TempDir()
				must(t, os.Chmod(dir, 0o755))
				f := newUnion(t, dir+"/union", k)
				d := &directory{t, fill(t, f, share[0], share[1])}
				seen, other := d.readChanging(func(path string) error { return os.WriteFile(path+"y", nil, 0o644) })
				wantOnce(t, "the one that makes files", seen)
				wantOnce(t, "another", other)
				seen, other = d.readChanging(func(path string) error { return os.Rename(path, path+"x") })
				wantTwiceAtMost(t, "the one that renames", seen)
				wantTwiceAtMost(t, "another", other)
				d.wantAfterRewind()
			})
		}
	}
}

// wantOnce wants each of the files to have been seen once, whatever else was.
func wantOnce(t *testing.T, who string, seen map[string]int) {
	t.Helper()
	for i := range many {
		if name := fmt.Sprintf("%04d", i); seen[name] != 1 {
			t.Fatalf("%s saw %s %d times", who, name, seen[name])
		}
	}
}

// wantTwiceAtMost wants no file to have been seen more than twice, by its old name or the new.
func wantTwiceAtMost(t *testing.T, who string, seen map[string]int) {
	t.Helper()
	for name, times := range seen {
		if times+seen[name+"x"] > 2 {
			t.Fatalf("%s saw %s %d times, and %d times when it had its new name", who, name, times, seen[name+"x"])
		}
	}
}

// wantAfterRewind makes and removes files in a directory that is open, and wants them to be seen or not from its
// beginning, and after a position in it those that came after it before.
func (d *directory) wantAfterRewind() {
	d.t.Helper()
	fd := d.open()
	defer unix.Close(fd)
	first := entries(d.t, fd)
	at, err := unix.Seek(fd, 0, unix.SEEK_CUR)
	must(d.t, err)
	next := entries(d.t, fd)
	must(d.t, os.WriteFile(d.path+"/made", nil, 0o644))
	must(d.t, os.Remove(d.path+"/"+first[0]))
	_, err = unix.Seek(fd, at, unix.SEEK_SET)
	must(d.t, err)
	for i, name := range entries(d.t, fd) {
		if name != "made" && name != next[min(i, len(next)-1)] { // the kernel may show what is new anywhere
			d.t.Errorf("after the position comes %s and not %s", name, next[i])
			break
		}
	}
	_, err = unix.Seek(fd, 0, unix.SEEK_SET)
	must(d.t, err)
	seen := map[string]int{}
	for names := entries(d.t, fd); len(names) > 0; names = entries(d.t, fd) {
		count(seen, names)
	}
	if seen["made"] != 1 || seen[first[0]] != 0 {
		d.t.Errorf("from the beginning, the new file is seen %d times and the removed one %d times", seen["made"],
			seen[first[0]])
	}
}
