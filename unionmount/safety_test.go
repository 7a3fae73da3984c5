package unionmount

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
)

func TestHostileXattrNames(t *testing.T) {
	f := newUnion(t, tree{"d/below": file("below"), "file": file("x")})
	hostile := []string{layerfmt.OpaqueXattr, "user.fuseoverlayfs.opaque", layerfmt.StatXattr, layerfmt.WhiteoutXattr,
		workdir.OriginXattr, workdir.GroupXattr, layerfmt.EscapePrefix + "user.x", "trusted.overlay.opaque",
		"security.selinux"}
	must(t, f.create("empty", 0o644))
	for _, path := range []string{"d", "file", "empty"} {
		for _, name := range hostile {
			must(t, f.at(path, func(n *Node) error { return f.u.SetXattr(n, name, []byte("y"), 0) }))
		}
	}
	for range 2 {
		f.want("d/below", "below")
		f.want("file", "x")
		f.want("empty", "")
		if a := f.stat("file"); a.UID != 0 || a.Mode != unix.S_IFREG|0o644 {
			t.Errorf("file: %+v", a)
		}
		for _, path := range []string{"d", "file", "empty"} {
			var names []string
			must(t, f.at(path, func(n *Node) (err error) { names, err = f.u.ListXattr(n); return err }))
			slices.Sort(names)
			if want := slices.Sorted(slices.Values(hostile)); !slices.Equal(names, want) {
				t.Errorf("%s has %q, want %q", path, names, want)
			}
			for _, name := range hostile {
				f.wantXattr(path, name, "y")
			}
		}
		f.reopen()
	}
	for _, name := range hostile {
		must(t, f.at("d", func(n *Node) error { return f.u.RemoveXattr(n, name) }))
		err := f.at("d", func(n *Node) error { return f.u.RemoveXattr(n, name) })
		wantErrno(t, "remove "+name+" again", err, unix.ENODATA)
	}
	f.want("d/below", "below")
}

func TestXattrFlags(t *testing.T) {
	f := newUnion(t, tree{"a": file("a").attr("user.one", "1")})
	set := func(name string, flags int) error {
		return f.at("a", func(n *Node) error { return f.u.SetXattr(n, name, []byte("2"), flags) })
	}
	wantErrno(t, "create of an existing", set("user.one", unix.XATTR_CREATE), unix.EEXIST)
	wantErrno(t, "replace of a missing", set("user.two", unix.XATTR_REPLACE), unix.ENODATA)
	must(t, set("user.one", unix.XATTR_REPLACE))
	must(t, set("user.two", unix.XATTR_CREATE))
	f.wantXattr("a", "user.one", "2")
}

// TestLinksOutOfTheTree has symbolic links and swapped directories where a path leads through.
func TestLinksOutOfTheTree(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(outside+"/secret", []byte("secret"), 0o644))
	f := newUnion(t, tree{"abs": symlink(outside), "up": symlink("../../../.."), "dir/sub/file": file("inside"),
		"f": file("f")})
	for _, path := range []string{"abs", "up"} {
		n, err := f.walk(path)
		must(t, err)
		if n.isDir() {
			t.Errorf("%s was followed", path)
		}
		f.u.Forget(n, 1)
	}
	// The owner of the layer replaces directories and files by links while they are known.
	sub, err := f.walk("dir/sub")
	must(t, err)
	file, err := f.walk("f")
	must(t, err)
	lower := f.opts.Lowers[0].Dir
	must(t, os.Rename(lower+"/dir", lower+"/moved"))
	must(t, os.Symlink(outside, lower+"/dir"))
	must(t, os.Symlink("secret", outside+"/sub"))
	must(t, os.Remove(lower+"/f"))
	must(t, os.Symlink(outside+"/secret", lower+"/f"))
	if _, _, err := f.u.Lookup(sub, "secret"); err == nil {
		t.Error("a directory that became a link was followed")
	}
	buf := make([]byte, 10)
	if n, err := f.u.Read(file, buf, 0); err == nil && strings.HasPrefix(string(buf[:n]), "sec") {
		t.Error("a file that became a link was followed")
	}
	f.u.Forget(sub, 1)
	f.u.Forget(file, 1)
}

func TestUpperLinksAreNotFollowed(t *testing.T) {
	outside := t.TempDir()
	f := newUnion(t)
	must(t, f.mkdir("d", 0o755))
	d, err := f.walk("d")
	must(t, err)
	defer f.u.Forget(d, 1)
	f.u.fds.Drop(d.fdKey(fdcache.Upper))
	must(t, os.Remove(f.opts.Upper+"/d"))
	must(t, os.Symlink(outside, f.opts.Upper+"/d"))
	_, _, err = f.u.Create(d, "x", 0o644, Owner{})
	wantErrno(t, "create below what became a link", err, unix.ESTALE)
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("%v was made outside", left)
	}
}

func TestHostLayer(t *testing.T) {
	host := t.TempDir()
	me, mine := uint32(os.Getuid()), uint32(os.Getgid())
	tree{"file": file("f"), "dir/x": file("x"), "link": symlink("file"), "locked": file("l"),
		"cave/y": file("y")}.plant(t, host)
	must(t, os.Chmod(host+"/locked", 0))
	must(t, os.Chmod(host+"/cave", 0))
	defer os.Chmod(host+"/cave", 0o755)
	f := newUnion(t)
	f.close()
	f.opts.Lowers = []Layer{{Dir: host, Ownership: HostOwned,
		UIDs: idmap.Map{{Container: 40, Host: me, Size: 1}}, GIDs: idmap.Map{{Container: 50, Host: mine, Size: 1}}}}
	f.open()
	f.wantNames("/", "cave", "dir", "file", "link", "locked")
	if a := f.stat("file"); a.UID != 40 || a.GID != 50 {
		t.Errorf("owner %d:%d", a.UID, a.GID)
	}
	if me != 0 {
		f.want("locked", "!permission denied")
		f.want("cave/y", "!permission denied")
		wantErrno(t, "write of what cannot be read", f.write("locked", "x", 0), unix.EACCES)
	}
	must(t, f.write("dir/x", "+", 1))
	must(t, f.unlink("link"))
	f.reopen()
	f.want("dir/x", "x+")
	if a := f.stat("dir/x"); a.UID != 40 || a.GID != 50 {
		t.Errorf("owner after copy-up %d:%d", a.UID, a.GID)
	}
	f.want("link", gone)
	data, _ := os.ReadFile(host + "/dir/x")
	if string(data) != "x" {
		t.Errorf("the host's file holds %q", data)
	}
}

func TestUnmappedIDsAreRoot(t *testing.T) {
	f := newUnion(t)
	f.close()
	f.opts.Lowers = []Layer{{Dir: "/", Ownership: HostOwned, UIDs: idmap.Map{{Container: 5, Host: 4000000, Size: 10}}}}
	f.open()
	if a := f.stat("/usr"); a.UID != 0 || a.GID != 0 {
		t.Errorf("owner %d:%d", a.UID, a.GID)
	}
}

// TestMountPointsAreNotEntered takes the machine's root, which has mounts in it, as a layer.
func TestMountPointsAreNotEntered(t *testing.T) {
	f := newUnion(t)
	f.close()
	f.opts.Lowers = []Layer{{Dir: "/", Ownership: HostOwned}}
	f.open()
	for _, path := range []string{"proc", "sys", "dev"} {
		var root, st unix.Stat_t
		must(t, unix.Stat("/", &root))
		if err := unix.Stat("/"+path, &st); err != nil || st.Dev == root.Dev {
			continue
		}
		f.wantNames(path)
		if a := f.stat(path); a.Mode != unix.S_IFDIR|0o755 || a.UID != 0 {
			t.Errorf("%s: %+v", path, a)
		}
		must(t, f.mkdir(path+"/made", 0o755))
		f.wantNames(path, "made")
		f.reopen()
		f.wantNames(path, "made")
	}
	if len(f.ls("usr")) == 0 {
		t.Error("what is no mount point is empty")
	}
}

// TestOverlappingLayers has the upper within a lower, as with a container of the machine's own root.
func TestOverlappingLayers(t *testing.T) {
	host := t.TempDir()
	must(t, os.MkdirAll(host+"/store/upper", 0o755))
	must(t, os.MkdirAll(host+"/store/work", 0o755))
	f := &fixture{t: t, opts: Options{Upper: host + "/store/upper", Work: host + "/store/work",
		Lowers: []Layer{{Dir: host, Ownership: HostOwned}}}}
	f.open()
	defer f.close()
	must(t, f.create("file", 0o644))
	must(t, f.write("file", "x", 0))
	f.want("store/upper/file", "x")
	if f.stat("file").Ino == f.stat("store/upper/file").Ino || f.stat("/").Ino == f.stat("store/upper").Ino {
		t.Error("the upper and what is seen of it in the lower have the same inode numbers")
	}
	must(t, f.write("store/upper/file", "y", 0))
	f.want("file", "x")
	f.want("store/upper/file", "y")
}

func TestFewDescriptors(t *testing.T) {
	lower := tree{}
	for i := range 300 {
		lower[filepath.Join("d", strings.Repeat("s/", i%5), "f"+strings.Repeat("i", i/5+1))] = file("data")
	}
	f := newUnion(t, lower)
	var nodes []*Node
	visit := func(n *Node) {
		must(t, f.u.Readdir(n, 0, func(e *Dirent) bool {
			if e.Node != nil {
				nodes = append(nodes, e.Node)
			}
			return true
		}))
	}
	visit(f.u.Root())
	for i := 0; i < len(nodes); i++ {
		if nodes[i].isDir() {
			visit(nodes[i])
			continue
		}
		if got, err := f.contentOf(nodes[i]); err != nil || got != "data" {
			t.Fatalf("read %q, %v", got, err)
		}
		if _, err := f.u.Write(nodes[i], []byte("+"), 4, asRoot); err != nil {
			t.Fatal(err)
		}
	}
	if open := f.u.fds.Size(); open > f.opts.MaxFiles {
		t.Errorf("%d descriptors are open, want at most %d", open, f.opts.MaxFiles)
	}
	for _, n := range nodes {
		f.u.Forget(n, 1)
	}
}

// TestParallelRenames moves directories about while files in them are written: their backing files must be found
// wherever they are, with hardly a descriptor to remember them by.
func TestParallelRenames(t *testing.T) {
	f := newUnion(t, tree{"lower": file("0")})
	f.u.fds.Max = 2
	for _, dir := range []string{"a", "a/b", "x"} {
		must(t, f.mkdir(dir, 0o755))
	}
	must(t, f.create("a/b/file", 0o644))
	n, err := f.walk("a/b/file")
	must(t, err)
	defer f.u.Forget(n, 1)
	var wait sync.WaitGroup
	stop := make(chan struct{})
	wait.Go(func() {
		for from, to := "a", "x/a"; ; from, to = to, from {
			select {
			case <-stop:
				return
			default:
				if err := f.rename(from, to, 0); err != nil {
					t.Errorf("rename: %v", err)
					return
				}
			}
		}
	})
	for i := range 500 {
		if _, err := f.u.Write(n, []byte("x"), int64(i), asRoot); err != nil {
			t.Errorf("write: %v", err)
			break
		}
		if _, err := f.u.Getattr(n); err != nil {
			t.Errorf("getattr: %v", err)
			break
		}
		f.u.fds.Drop(n.fdKey(fdcache.UpperData))
	}
	close(stop)
	wait.Wait()
}

// TestParallelChanges has several workers make, copy up, link, rename and remove in the same few directories, and
// wants no error that a plain directory would not give.
func TestParallelChanges(t *testing.T) {
	lower := tree{}
	for _, dir := range []string{"a", "b", "a/c"} {
		for _, name := range []string{"1", "2", "3"} {
			lower[dir+"/"+name] = file(dir + name)
		}
	}
	f := newUnion(t, lower)
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			dirs := []string{"a", "b", "a/c"}
			for i := range 150 {
				path := dirs[(worker+i)%3] + "/" + string(rune('1'+(worker*i)%4))
				other := dirs[(worker*i+1)%3] + "/" + string(rune('1'+i%4))
				for what, err := range map[string]error{
					"create": f.create(path, 0o644), "write": f.write(path, "x", 1), "rename": f.rename(path, other, 0),
					"link": f.link(other, path), "chmod": f.chmod(other, 0o600), "unlink": f.unlink(path),
				} {
					if errno := errnoOf(err); errno != 0 && errno != unix.ENOENT && errno != unix.EEXIST &&
						errno != unix.ESTALE {
						t.Errorf("%s: %v", what, err)
					}
				}
			}
		})
	}
	wait.Wait()
	var seen []string
	for _, dir := range []string{"a", "b", "a/c"} {
		seen = append(seen, f.ls(dir)...)
	}
	f.reopen()
	var again []string
	for _, dir := range []string{"a", "b", "a/c"} {
		again = append(again, f.ls(dir)...)
	}
	if !slices.Equal(seen, again) {
		t.Errorf("after a remount %q, was %q", again, seen)
	}
}

func TestErrorsTellWhere(t *testing.T) {
	f := newUnion(t, tree{"d/file": file("x")})
	n, err := f.walk("d/file")
	must(t, err)
	defer f.u.Forget(n, 1)
	must(t, os.RemoveAll(f.opts.Lowers[0].Dir+"/d"))
	_, err = f.u.Read(n, make([]byte, 1), 0)
	var fault *Error
	if !errors.As(err, &fault) || fault.Path != "d/file" || fault.Layer != f.opts.Lowers[0].Dir ||
		!errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v", err)
	}
}

func FuzzParseGroup(f *testing.F) {
	f.Add("1:2:3")
	f.Fuzz(func(t *testing.T, value string) {
		g, err := workdir.ParseGroup(value)
		if err != nil {
			return
		}
		if again, err := workdir.ParseGroup(g.Encode()); err != nil || *again != *g {
			t.Fatalf("%q is %+v, again %+v, %v", value, g, again, err)
		}
	})
}

func FuzzParseDirents(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x18\x00\x08abcd\x00"))
	f.Fuzz(func(t *testing.T, buf []byte) {
		beneath.ParseDirents(buf, func(e beneath.Entry) {
			if strings.ContainsRune(e.Name, 0) {
				t.Fatalf("name %q", e.Name)
			}
		})
	})
}
