package unionmount

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
)

// asRoot makes changes that drop no bits.
var asRoot = Caller{Privileged: true}

// tree is a layer's content as a literal: path to entry. Directories on the way to a path need no entry.
type tree map[string]entry

// entry is a file as it lies on disk.
type entry struct {
	typ    uint32 // 0: regular
	data   string // content, or target
	perm   uint32 // 0: 0644, of directories 0755
	linkTo string // hard link to another path of the tree
	xattrs map[string]string
}

func file(data string) entry        { return entry{data: data} }
func directory() entry              { return entry{typ: unix.S_IFDIR} }
func symlink(target string) entry   { return entry{typ: unix.S_IFLNK, data: target} }
func whiteout() entry               { return entry{typ: unix.S_IFCHR} }
func hardlink(to string) entry      { return entry{linkTo: to} }
func (e entry) mode(p uint32) entry { e.perm = p; return e }

func (e entry) attr(name, value string) entry {
	x := maps.Clone(e.xattrs)
	if x == nil {
		x = map[string]string{}
	}
	x[name] = value
	e.xattrs = x
	return e
}

// owned gives an entry override metadata.
func (e entry) owned(stat string) entry { return e.attr(layerfmt.StatXattr, stat) }

func opaque() entry { return directory().attr(layerfmt.OpaqueXattr, "y") }

// plant makes the tree on disk.
func (tr tree) plant(t *testing.T, root string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(tr)) {
		full := filepath.Join(root, path)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		if e := tr[path]; e.linkTo == "" {
			e.plant(t, full)
		}
	}
	for path, e := range tr {
		if e.linkTo != "" {
			must(t, os.Link(filepath.Join(root, e.linkTo), filepath.Join(root, path)))
		}
	}
}

func (e entry) plant(t *testing.T, path string) {
	t.Helper()
	perm := e.perm
	switch e.typ {
	case unix.S_IFDIR:
		must(t, os.MkdirAll(path, 0o755))
		if perm == 0 {
			perm = 0o755
		}
	case unix.S_IFLNK:
		must(t, os.Symlink(e.data, path))
		return
	case unix.S_IFCHR, unix.S_IFIFO:
		must(t, unix.Mknod(path, e.typ|0o600, 0))
		return
	default:
		must(t, os.WriteFile(path, []byte(e.data), 0o600))
		if perm == 0 {
			perm = 0o644
		}
	}
	for name, value := range e.xattrs {
		must(t, unix.Setxattr(path, name, []byte(value), 0))
	}
	must(t, unix.Chmod(path, perm))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is a union for a test, used by paths.
type fixture struct {
	t    testing.TB
	u    *Union
	opts Options
	// writesOut has files written out before they are charged, so that a count at any time comes to the same.
	writesOut bool
}

// newUnion opens a union of an empty upper and the given lowers, the nearest first.
func newUnion(t *testing.T, lowers ...tree) *fixture {
	t.Helper()
	f := plantUnion(t, t.TempDir(), lowers...)
	f.open()
	t.Cleanup(f.close)
	return f
}

// plantUnion makes the directories of a union in dir, without opening it.
func plantUnion(t *testing.T, dir string, lowers ...tree) *fixture {
	t.Helper()
	f := unionIn(t, dir, len(lowers))
	must(t, os.Mkdir(f.opts.Upper, 0o755))
	must(t, os.Mkdir(f.opts.Work, 0o755))
	for i, tr := range lowers {
		must(t, os.Mkdir(f.opts.Lowers[i].Dir, 0o755))
		tr.plant(t, f.opts.Lowers[i].Dir)
		if indexed {
			writeIndex(t, f.opts.Lowers[i])
		}
	}
	return f
}

// unionIn names the directories of plantUnion.
func unionIn(t *testing.T, dir string, lowers int) *fixture {
	f := &fixture{t: t, opts: Options{Upper: dir + "/upper", Work: dir + "/work", MaxFiles: 64, SideXattrs: sided}}
	for i := range lowers {
		lower := fmt.Sprintf("%s/lower%d", dir, i)
		f.opts.Lowers = append(f.opts.Lowers, Layer{Dir: lower, Ownership: CallerOwned, Index: lower + ".index"})
	}
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	u, err := Open(f.opts)
	must(f.t, err)
	f.u = u
	if f.writesOut && u.quota != nil {
		u.quota.BeforeLook = writeOut
	}
}

// close closes the union and checks that nothing was left behind: no work files, no nodes.
func (f *fixture) close() {
	f.t.Helper()
	f.checkIdle()
	must(f.t, f.u.Close())
}

func (f *fixture) checkIdle() {
	f.t.Helper()
	if f.u.work != nil {
		left, err := os.ReadDir(f.opts.Work + "/stage")
		left = slices.DeleteFunc(left, func(e os.DirEntry) bool { return e.Name() == workdir.WhiteoutName })
		if err != nil || len(left) > 0 {
			f.t.Errorf("left in the stage: %v, %v", left, err)
		}
	}
	if n := len(f.u.byFile); n > 2 { // the root, by upper and lower
		f.t.Errorf("%d nodes are still known", n)
	}
	if n := f.u.fds.InUse(); n > 0 {
		f.t.Errorf("%d handles are still in use", n)
	}
}

// reopen is what a remount is.
func (f *fixture) reopen() {
	f.t.Helper()
	f.close()
	f.open()
}

// walk returns the node of a path, looked up once: the caller forgets it.
func (f *fixture) walk(path string) (*Node, error) {
	n := f.u.Root()
	f.u.lookedUpRoot()
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name == "" {
			break
		}
		if !n.isDir() {
			f.u.Forget(n, 1)
			return nil, unix.ENOTDIR
		}
		child, _, err := f.u.Lookup(n, name)
		f.u.Forget(n, 1)
		if err != nil {
			return nil, err
		}
		n = child
	}
	return n, nil
}

// lookedUpRoot lets tests forget the root like any node.
func (u *Union) lookedUpRoot() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.root.lookups++
}

// at calls do with the node of a path.
func (f *fixture) at(path string, do func(n *Node) error) error {
	n, err := f.walk(path)
	if err != nil {
		return err
	}
	defer f.u.Forget(n, 1)
	return do(n)
}

// in calls do with the directory and the name that a path ends in.
func (f *fixture) in(path string, do func(dir *Node, name string) error) error {
	return f.at(filepath.Dir("/"+path), func(dir *Node) error {
		if !dir.isDir() {
			return unix.ENOTDIR
		}
		return do(dir, filepath.Base(path))
	})
}

// made forgets a node that was made.
func (f *fixture) made(n *Node, _ Attr, err error) error {
	if err == nil {
		f.u.Forget(n, 1)
	}
	return err
}

func (f *fixture) create(path string, perm uint32) error {
	return f.in(path, func(dir *Node, name string) error { return f.made(f.u.Create(dir, name, perm, Owner{})) })
}

func (f *fixture) mkdir(path string, perm uint32) error {
	return f.in(path, func(dir *Node, name string) error { return f.made(f.u.Mkdir(dir, name, perm, Owner{})) })
}

func (f *fixture) symlink(target, path string) error {
	return f.in(path, func(dir *Node, name string) error { return f.made(f.u.Symlink(dir, name, target, Owner{})) })
}

func (f *fixture) link(old, path string) error {
	return f.at(old, func(n *Node) error {
		return f.in(path, func(dir *Node, name string) error {
			_, err := f.u.Link(n, dir, name)
			if err == nil {
				f.u.Forget(n, 1)
			}
			return err
		})
	})
}

func (f *fixture) unlink(path string) error { return f.in(path, f.uUnlink) }

func (f *fixture) uUnlink(dir *Node, name string) error { return f.u.Unlink(dir, name) }

func (f *fixture) rmdir(path string) error {
	return f.in(path, func(dir *Node, name string) error { return f.u.Rmdir(dir, name) })
}

func (f *fixture) rename(from, to string, flags uint) error {
	return f.in(from, func(d1 *Node, n1 string) error {
		return f.in(to, func(d2 *Node, n2 string) error { return f.u.Rename(d1, n1, d2, n2, flags) })
	})
}

func (f *fixture) write(path string, data string, offset int64) error {
	return f.at(path, func(n *Node) error {
		_, err := f.u.Write(n, []byte(data), offset, asRoot)
		return err
	})
}

func (f *fixture) setattr(path string, in SetAttr) error {
	return f.at(path, func(n *Node) error {
		_, err := f.u.Setattr(n, in)
		return err
	})
}

func (f *fixture) chmod(path string, mode uint32) error { return f.setattr(path, SetAttr{Mode: &mode}) }

func (f *fixture) chown(path string, uid, gid uint32) error {
	return f.setattr(path, SetAttr{UID: &uid, GID: &gid})
}

func (f *fixture) truncate(path string, size int64) error {
	return f.setattr(path, SetAttr{Size: &size})
}

func (f *fixture) stat(path string) Attr {
	f.t.Helper()
	var a Attr
	must(f.t, f.at(path, func(n *Node) (err error) { a, err = f.u.Getattr(n); return err }))
	return a
}

// read returns the content of a file or the target of a link; "!" and the error where there is none.
func (f *fixture) read(path string) string {
	content := ""
	err := f.at(path, func(n *Node) (err error) {
		if n.kind == unix.S_IFLNK {
			content, err = f.u.Readlink(n)
			return err
		}
		content, err = f.contentOf(n)
		return err
	})
	if err != nil {
		return "!" + errnoOf(err).Error()
	}
	return content
}

func (f *fixture) contentOf(n *Node) (string, error) {
	a, err := f.u.Getattr(n)
	if err != nil {
		return "", err
	}
	buf := make([]byte, a.Size+1)
	got, err := f.u.Read(n, buf, 0)
	return string(buf[:got]), err
}

// ls returns the sorted names of a directory and checks that their attributes agree with a lookup's.
func (f *fixture) ls(path string) []string {
	f.t.Helper()
	var names []string
	must(f.t, f.at(path, func(n *Node) error {
		return f.u.Readdir(n, 0, func(e *Dirent) bool {
			if e.Node != nil {
				names = append(names, e.Name)
				f.u.Forget(e.Node, 1)
			}
			return true
		})
	}))
	slices.Sort(names)
	return names
}

// errnoOf returns the errno in an error, and EIO for an error without one, as package fusefs does.
func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	if err != nil && !errors.As(err, &errno) {
		return unix.EIO
	}
	return errno
}

func (f *fixture) want(path, content string) {
	f.t.Helper()
	if got := f.read(path); got != content {
		f.t.Errorf("%s holds %q, want %q", path, got, content)
	}
}

func (f *fixture) wantNames(path string, names ...string) {
	f.t.Helper()
	if got := f.ls(path); !slices.Equal(got, names) {
		f.t.Errorf("%s lists %q, want %q", path, got, names)
	}
}

func wantErrno(t testing.TB, what string, err error, want unix.Errno) {
	t.Helper()
	if got := errnoOf(err); got != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

const gone = "!no such file or directory"

// readXattr returns the value of an xattr of the file that path names, links not followed.
func readXattr(path, name string) ([]byte, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return beneath.File{FD: int(dir.Fd()), Name: filepath.Base(path)}.Xattr(name)
}
