package unionmount

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// deepen makes directories below one another until it is refused, and returns how many. It holds all of them, as the
// kernel does that of a process's working directory.
func (f *fixture) deepen(from *Node, name string) (dirs []*Node, err error) {
	for {
		n, _, err := f.u.Mkdir(from, name, 0o755, Owner{})
		if err != nil {
			return dirs, err
		}
		dirs, from = append(dirs, n), n
	}
}

func (f *fixture) forget(nodes []*Node) {
	for _, n := range nodes {
		f.u.Forget(n, 1)
	}
}

// TestDepthIsBounded makes directories as deep as they can be made, of the longest names, and more in the deepest:
// which is refused. All else can be done there that can be done elsewhere.
func TestDepthIsBounded(t *testing.T) {
	long := strings.Repeat("n", 255)
	for which, f := range map[string]*fixture{"caller": newUnion(t), "host": newHostUnion(t, rootIsMe())} {
		dirs, err := f.deepen(f.u.Root(), long)
		if !errors.Is(err, unix.ENAMETOOLONG) || len(dirs) != maxDepth {
			t.Fatalf("%s: %d directories, then %v", which, len(dirs), err)
		}
		deepest, above := dirs[len(dirs)-1], dirs[len(dirs)-2]
		file, _, err := f.u.Create(above, "file", 0o644, Owner{})
		must(t, err)
		_, err = f.u.Write(file, []byte("data"), 0, asRoot)
		must(t, err)
		_, err = f.u.Link(file, deepest, "link")
		if err := deepest.fault("read", unix.EIO); len(err.Error()) > 1024 {
			t.Errorf("an error about a deep file has %d bytes", len(err.Error()))
		}
		wantErrno(t, "link", err, unix.ENAMETOOLONG)
		_, _, err = f.u.Create(deepest, "file", 0o644, Owner{})
		wantErrno(t, "create", err, unix.ENAMETOOLONG)
		_, _, err = f.u.Symlink(deepest, "link", "target", Owner{})
		wantErrno(t, "symlink", err, unix.ENAMETOOLONG)
		wantErrno(t, "rename", f.u.Rename(above, "file", deepest, "file", 0), unix.ENAMETOOLONG)
		must(t, f.u.Rename(above, "file", above, "other", 0))
		must(t, f.u.Rename(above, "other", f.u.Root(), "file", 0))
		f.want("file", "data")
		f.u.Forget(file, 1)
		for i := len(dirs) - 1; i > 0; i-- {
			f.u.Forget(dirs[i], 1)
			must(t, f.u.Rmdir(dirs[i-1], long))
		}
		f.u.Forget(dirs[0], 1)
		must(t, f.rmdir(long))
	}
}

// chain makes so many directories below one another, without the limit of paths.
func (f *fixture) chain(path string, levels int) {
	f.t.Helper()
	must(f.t, f.mkdir(path, 0o755))
	must(f.t, f.at(path, func(n *Node) error {
		dirs, err := []*Node{}, error(nil)
		for range levels {
			var next *Node
			next, _, err = f.u.Mkdir(n, "d", 0o755, Owner{})
			must(f.t, err)
			dirs, n = append(dirs, next), next
		}
		f.forget(dirs)
		return nil
	}))
}

// TestMovedTreesAreBounded moves trees below one another, also when the union has to find out how deep they are.
func TestMovedTreesAreBounded(t *testing.T) {
	for which, f := range map[string]*fixture{"caller": newUnion(t), "host": newHostUnion(t, rootIsMe())} {
		f.chain("a", 2000)
		f.chain("b", maxDepth-2001)
		f.chain("c", 1)
		for _, known := range []bool{true, false} {
			if !known {
				f.reopen()
			}
			end, held := f.end("a")
			wantErrno(t, fmt.Sprintf("%s: move a tree that is known (%v)", which, known),
				f.u.Rename(f.u.Root(), "b", end, "b", 0), unix.ENAMETOOLONG)
			must(t, f.u.Rename(f.u.Root(), "c", end, "c", 0))
			wantErrno(t, "exchange", f.u.Rename(f.u.Root(), "b", end, "c", unix.RENAME_EXCHANGE), unix.ENAMETOOLONG)
			must(t, f.u.Rename(end, "c", f.u.Root(), "c", 0))
			f.forget(held)
		}
	}
}

// end returns the lowest of a chain of directories, and all nodes that the caller must forget.
func (f *fixture) end(path string) (*Node, []*Node) {
	f.t.Helper()
	n, err := f.walk(path)
	must(f.t, err)
	held := []*Node{n}
	for {
		next, _, err := f.u.Lookup(n, "d")
		if err != nil {
			return n, held
		}
		n, held = next, append(held, next)
	}
}

// TestDepthDoesNotCreep moves a tree by one level at a time, each time with other things known of it.
func TestDepthDoesNotCreep(t *testing.T) {
	f := newUnion(t)
	f.chain("0", maxDepth-2)
	for i := 1; ; i++ {
		dir := fmt.Sprint(i)
		must(t, f.mkdir(dir, 0o755))
		if err := f.rename(fmt.Sprint(i-1), dir+"/d", 0); err != nil {
			wantErrno(t, "rename", err, unix.ENAMETOOLONG)
			must(t, f.rmdir(dir))
			if i != 2 {
				t.Errorf("it is refused after %d moves", i-1)
			}
			break
		}
		if i%2 == 0 {
			f.reopen()
		}
	}
}

// TestLowersMayBeDeep reads and changes what a lower has deeper than anything can be made, under the longest names: no
// path is given to the system, and not kept for each directory.
func TestLowersMayBeDeep(t *testing.T) {
	const levels = maxDepth + 3
	name := strings.Repeat("d", 255)
	f := newUnion(t)
	f.close()
	lower := t.TempDir()
	deepDirectory(t, lower, name, levels)
	as := rootIsMe()
	as.Follow = true
	f.describe(as)
	as.Dir = lower
	f.opts.Lowers = []Layer{as}
	f.open()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, held := f.u.Root(), []*Node(nil)
	for range levels {
		next, _, err := f.u.Lookup(n, name)
		must(t, err)
		n, held = next, append(held, next)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("%d directories take %d MiB", levels, grown>>20)
	}
	file, _, err := f.u.Lookup(n, "file")
	must(t, err)
	content, err := f.contentOf(file)
	if err != nil || content != "deep" {
		t.Errorf("the deepest file holds %q, %v", content, err)
	}
	_, err = f.u.Write(file, []byte("x"), 0, asRoot)
	must(t, err)
	_, _, err = f.u.Mkdir(n, "x", 0o755, Owner{})
	wantErrno(t, "mkdir", err, unix.ENAMETOOLONG)
	must(t, f.u.Rename(n, "file", n, "other", 0))
	must(t, f.u.Rename(held[levels-2], name, held[levels-2], "e", 0))
	must(t, f.u.Unlink(n, "other"))
	must(t, f.u.Rmdir(held[levels-2], "e"))
	f.u.Forget(file, 1)
	f.forget(held)
}

// deepDirectory makes directories below one another in a directory of the host, and a file in the deepest.
func deepDirectory(t *testing.T, dir, name string, levels int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	for range levels {
		must(t, unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		unix.Close(fd)
		fd = next
	}
	file, err := unix.Openat(fd, "file", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	must(t, err)
	_, err = unix.Write(file, []byte("deep"))
	must(t, err)
	unix.Close(file)
	unix.Close(fd)
}

// TestDeepLowersMove renames directories of a lower with all that is below them, where a note of the path would be too
// long or none is made, and wants the deepest file to be found at its new place, also after a remount.
func TestDeepLowersMove(t *testing.T) {
	const levels, high = 1000, 20
	name := strings.Repeat("d", 255)
	for which, as := range map[string]Layer{"caller": {Ownership: CallerOwned}, "host": rootIsMe()} {
		f := newUnion(t)
		f.close()
		lower := t.TempDir()
		deepDirectory(t, lower, name, levels)
		f.opts.UpperAs, f.opts.Lowers = &as, []Layer{as}
		f.opts.Lowers[0].Dir = lower
		f.open()
		dirs := f.down(name, high)
		must(t, f.u.Rename(dirs[high-2], name, dirs[high-2], "moved", 0))
		f.forget(dirs)
		f.reopen()
		dirs = f.down(name, high-1)
		top := dirs[high-2]
		if _, _, err := f.u.Lookup(top, name); !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: at the old name: %v", which, err)
		}
		n, _, err := f.u.Lookup(top, "moved")
		must(t, err)
		dirs = append(dirs, n)
		for range levels - high {
			n, _, err = f.u.Lookup(n, name)
			must(t, err)
			dirs = append(dirs, n)
		}
		file, _, err := f.u.Lookup(n, "file")
		must(t, err)
		if content, err := f.contentOf(file); err != nil || content != "deep" {
			t.Errorf("%s: the deepest file holds %q, %v", which, content, err)
		}
		f.forget(append(dirs, file))
	}
}

// down returns so many directories below one another.
func (f *fixture) down(name string, levels int) (dirs []*Node) {
	f.t.Helper()
	n := f.u.Root()
	for range levels {
		next, _, err := f.u.Lookup(n, name)
		must(f.t, err)
		n, dirs = next, append(dirs, next)
	}
	return dirs
}
