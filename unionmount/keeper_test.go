package unionmount

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// descriptors returns how many files of the upper the process has open, and how many its keepers have.
func (f *fixture) descriptors() (shared, kept int) {
	shared = f.openIn("/proc/self/fd")
	_, threads := f.u.fds.Parked()
	for _, tid := range threads {
		kept += f.openIn(fmt.Sprintf("/proc/self/task/%d/fd", tid))
	}
	return shared, kept
}

func (f *fixture) openIn(table string) (n int) {
	f.t.Helper()
	fds, err := os.ReadDir(table)
	must(f.t, err)
	for _, fd := range fds {
		if target, _ := os.Readlink(table + "/" + fd.Name()); strings.HasPrefix(target, f.opts.Upper) {
			n++
		}
	}
	return n
}

// TestOpenFilesWithoutNames has more files open without a name than the cache has descriptors: each is as it was, and
// what the process has open stays bounded.
func TestOpenFilesWithoutNames(t *testing.T) {
	const max, files = 16, 200
	f := newUnion(t, tree{"lower": file("of the lower")})
	f.u.fds.Max = max
	nodes := map[string]*Node{}
	keep := func(name string) {
		n, err := f.walk(name)
		must(t, err)
		if len(nodes)%2 == 0 { // whose data is open then
			_, err = f.contentOf(n)
			must(t, err)
		}
		must(t, f.unlink(name))
		nodes[name] = n
	}
	keep("lower")
	for i := range files {
		name := fmt.Sprintf("f%d", i)
		must(t, f.create(name, 0o600))
		must(t, f.write(name, name, 0))
		keep(name)
	}
	if shared, kept := f.descriptors(); shared > 2*max || kept < files-2*max {
		t.Errorf("%d files take %d descriptors of the process, and keepers have %d", files, shared, kept)
	}
	for name, n := range nodes {
		want := name
		if name == "lower" {
			want = "of the lower"
		}
		if got, err := f.contentOf(n); err != nil || got != want {
			t.Errorf("%s without a name has %q, %v", name, got, err)
		}
		_, err := f.u.Write(n, []byte("!"), int64(len(want)), asRoot)
		must(t, err)
		if got, err := f.contentOf(n); err != nil || got != want+"!" {
			t.Errorf("%s after writing has %q, %v", name, got, err)
		}
		a, err := f.u.Getattr(n)
		must(t, err)
		if a.Nlink != 0 || a.Size != int64(len(want))+1 {
			t.Errorf("%s has %d links and %d bytes", name, a.Nlink, a.Size)
		}
	}
	for _, n := range nodes {
		f.u.Forget(n, 1)
	}
	_, kept := f.descriptors()
	if known, _ := f.u.fds.Parked(); kept > 0 || known > 0 {
		t.Errorf("%d descriptors stay with keepers, %d are known, after all files were given up", kept, known)
	}
}

// TestTmpfilesBeyondTheLimit makes more files that never had a name than the process may have open files.
func TestTmpfilesBeyondTheLimit(t *testing.T) {
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	const most = 256
	low := unix.Rlimit{Cur: min(most, old.Max), Max: old.Max}
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	f := newUnion(t)
	f.u.fds.Max = most / 2
	var nodes []*Node
	for i := range 4 * most {
		n, _, err := f.u.Tmpfile(f.u.Root(), 0o600, Owner{})
		if err != nil {
			t.Fatalf("file %d: %v", i, err)
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		f.u.Forget(n, 1)
	}
}
