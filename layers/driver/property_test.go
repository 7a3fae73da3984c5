package driver_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	graphdriver "go.podman.io/storage/drivers"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/rcrun/rcrun/unionmount"
)

// TestLayersOfRandomTrees lets a union write random layers, one on the other. What the driver tells of each must be
// what a comparison of all that is to be seen with it and without it finds, and a layer made of its tar must show the
// same.
func TestLayersOfRandomTrees(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root, err := os.MkdirTemp("", "layers")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(root)
		d, err := graphdriver.GetDriver("fuse", graphdriver.Options{Root: root, RunRoot: filepath.Join(root, "run")})
		if err != nil {
			rt.Fatal(err)
		}
		s := &stack{T: rt, driver: d}
		for range rapid.IntRange(1, 4).Draw(rt, "layers") {
			s.addLayer()
		}
	})
}

// stack is a stack of layers that grows.
type stack struct {
	*rapid.T
	driver graphdriver.Driver
	layers []string // ids, the lowest first
	stamp  int64    // of the last change: no two are made at the same time
}

func (s *stack) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// addLayer has a container change what there is, checks what the driver makes of that, and adds it as a layer.
func (s *stack) addLayer() {
	parent := ""
	if n := len(s.layers); n > 0 {
		parent = s.layers[n-1]
	}
	container, image := fmt.Sprint("container", len(s.layers)), fmt.Sprint("image", len(s.layers))
	s.must(s.driver.CreateReadWrite(container, parent, nil))
	before := s.look(parent)
	s.change(container)
	after := s.look(container)

	changes, err := s.driver.Changes(container, nil, parent, nil, "")
	s.must(err)
	var got []string
	for _, c := range changes {
		got = append(got, c.String())
	}
	if want := naiveDiff(before, after); !slices.Equal(got, want) {
		s.Fatalf("changes %q\nwant    %q\nbefore %v\nafter  %v", got, want, before, after)
	}
	s.must(s.driver.Create(image, parent, nil))
	s.layers = append(s.layers, image)
	s.apply(container, image, parent)
	if copied := s.look(image); !maps.Equal(copied, after) {
		s.Fatalf("the layer made of the tar shows\n%v\nwant\n%v", copied, after)
	}
	s.must(s.driver.Remove(container))
}

// apply makes one layer of the tar of another, and checks the sizes.
func (s *stack) apply(from, to, parent string) {
	r, err := s.driver.Diff(from, nil, parent, nil, "")
	s.must(err)
	content, err := io.ReadAll(r)
	s.must(errors.Join(err, r.Close()))
	var size int64
	for tr := tar.NewReader(bytes.NewReader(content)); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		s.must(err)
		if hdr.Typeflag == tar.TypeReg {
			size += hdr.Size
		}
	}
	applied, err := s.driver.ApplyDiff(to, graphdriver.ApplyDiffOpts{Diff: bytes.NewReader(content)})
	s.must(err)
	measured, err := s.driver.DiffSize(to, nil, parent, nil, "")
	s.must(err)
	if applied != size || measured != size {
		s.Fatalf("a tar with %d bytes of files: %d applied, %d measured", size, applied, measured)
	}
}

// open opens the union of a layer and those below it.
func (s *stack) open(id string, writable bool) *unionmount.Union {
	var options unionmount.Options
	for i := len(s.layers) - 1; i >= 0; i-- {
		if s.layers[i] != id || !writable {
			dir := s.dir(s.layers[i])
			options.Lowers = append(options.Lowers,
				unionmount.Layer{Dir: dir, Ownership: unionmount.CallerOwned,
					Index: filepath.Join(filepath.Dir(dir), "index")})
		}
	}
	if writable {
		options.Upper = s.dir(id)
		options.Work = filepath.Join(filepath.Dir(options.Upper), "work")
	}
	u, err := unionmount.Open(options)
	s.must(err)
	return u
}

func (s *stack) dir(id string) string {
	metadata, err := s.driver.Metadata(id)
	s.must(err)
	return metadata["UpperDir"]
}

// look returns what is to be seen with a layer on top.
func (s *stack) look(id string) map[string]sight {
	seen := map[string]sight{}
	if id == "" {
		return seen
	}
	u := s.open(id, !slices.Contains(s.layers, id))
	defer u.Close()
	for name, node := range s.nodes(u) {
		if name != "" {
			seen[name] = s.sight(u, node)
		}
	}
	return seen
}

// sight is all that there is to see of a file, but for the times of directories and links.
type sight struct {
	mode, uid, gid        uint32
	rdev                  uint64
	mtime                 unix.Timespec
	content, link, xattrs string
}

func (s *stack) sight(u *unionmount.Union, n *unionmount.Node) sight {
	attr, err := u.Getattr(n)
	s.must(err)
	v := sight{mode: attr.Mode, uid: attr.UID, gid: attr.GID, rdev: attr.Rdev}
	switch attr.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		v.mtime = attr.Mtime
		data := make([]byte, attr.Size)
		_, err = u.Read(n, data, 0)
		v.content = string(data)
	case unix.S_IFLNK:
		v.link, err = u.Readlink(n)
	}
	s.must(err)
	names, err := u.ListXattr(n)
	s.must(err)
	slices.Sort(names)
	for _, name := range names {
		value, err := u.GetXattr(n, name)
		s.must(err)
		v.xattrs += fmt.Sprintf("%s=%q ", name, value)
	}
	return v
}

// nodes returns everything in a union by name, the root as "".
func (s *stack) nodes(u *unionmount.Union) map[string]*unionmount.Node {
	all := map[string]*unionmount.Node{}
	var visit func(name string, n *unionmount.Node)
	visit = func(name string, n *unionmount.Node) {
		all[name] = n
		if n.Kind() != unix.S_IFDIR {
			return
		}
		var names []string
		s.must(u.Readdir(n, 0, func(e *unionmount.Dirent) bool {
			names = append(names, e.Name)
			return true
		}))
		for _, child := range names {
			if child == "." || child == ".." {
				continue
			}
			node, _, err := u.Lookup(n, child)
			s.must(err)
			visit(path.Join(name, child), node)
		}
	}
	visit("", u.Root())
	return all
}

// naiveDiff compares what there is with what there was, as a list of Docker's lines.
func naiveDiff(before, after map[string]sight) []string {
	changed := map[string]string{}
	for name, is := range after {
		if was, existed := before[name]; !existed {
			changed[name] = "A"
		} else if was != is {
			changed[name] = "C"
		}
	}
	for name := range before {
		_, exists := after[name]
		dir, inDir := after[path.Dir(name)]
		if !exists && (path.Dir(name) == "." || inDir && dir.mode&unix.S_IFMT == unix.S_IFDIR) {
			changed[name] = "D"
		}
	}
	for name := range maps.Clone(changed) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if changed[dir] == "" {
				changed[dir] = "C"
			}
		}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		lines = append(lines, changed[name]+" /"+name)
	}
	return lines
}

// change makes some changes through a container's union.
func (s *stack) change(container string) {
	u := s.open(container, true)
	defer u.Close()
	for range rapid.IntRange(0, 12).Draw(s.T, "changes") {
		s.step(u)
	}
}

// step makes one change at a random place: a new entry where there is none, else a change of the one that is there.
func (s *stack) step(u *unionmount.Union) {
	s.stamp++
	nodes := s.nodes(u)
	var dirs []string
	for name, node := range nodes {
		if node.Kind() == unix.S_IFDIR {
			dirs = append(dirs, name)
		}
	}
	slices.Sort(dirs)
	place := func(what string) (*unionmount.Node, string, string) {
		dir := rapid.SampledFrom(dirs).Draw(s.T, what+" directory")
		name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(s.T, what)
		return nodes[dir], name, path.Join(dir, name)
	}
	dir, name, full := place("name")
	node := nodes[full]
	if node == nil {
		s.make(u, dir, name)
		return
	}
	switch rapid.SampledFrom([]string{"write", "owner", "xattr", "remove", "replace", "move", "link"}).Draw(s.T,
		"change") {
	case "write":
		if node.Kind() == unix.S_IFREG {
			s.write(u, node)
		}
	case "owner":
		s.own(u, node)
	case "xattr":
		if kind := node.Kind(); kind == unix.S_IFREG || kind == unix.S_IFDIR {
			s.must(u.SetXattr(node, "user.mark", fmt.Append(nil, s.stamp), 0))
		}
	case "remove":
		s.remove(u, nodes, dir, name, full)
	case "replace":
		s.remove(u, nodes, dir, name, full)
		s.make(u, dir, name)
	case "move":
		to, newName, target := place("target")
		if target == full || strings.HasPrefix(target, full+"/") || strings.HasPrefix(full, target+"/") {
			return
		}
		if nodes[target] != nil {
			s.remove(u, nodes, to, newName, target)
		}
		s.must(u.Rename(dir, name, to, newName, 0))
		s.own(u, node)
	case "link":
		if to, newName, target := place("target"); nodes[target] == nil && node.Kind() == unix.S_IFREG {
			_, err := u.Link(node, to, newName)
			s.must(err)
			s.own(u, node)
		}
	}
}

// make makes an entry of any kind.
func (s *stack) make(u *unionmount.Union, dir *unionmount.Node, name string) {
	var node *unionmount.Node
	var err error
	owner := unionmount.Owner{UID: uint32(s.stamp), GID: 7}
	switch kind := rapid.SampledFrom([]string{"file", "directory", "directory", "link", "pipe", "device"}).Draw(s.T,
		"kind"); kind {
	case "file":
		if node, _, err = u.Create(dir, name, 0o4755, owner); err == nil {
			s.write(u, node)
		}
	case "directory":
		_, _, err = u.Mkdir(dir, name, 0o1777, unionmount.Owner{})
	case "link":
		_, _, err = u.Symlink(dir, name, fmt.Sprint("target", s.stamp), unionmount.Owner{})
	case "pipe":
		_, _, err = u.Mknod(dir, name, unix.S_IFIFO|0o600, 0, owner)
	case "device":
		_, _, err = u.Mknod(dir, name, unix.S_IFCHR|0o600, unix.Mkdev(1, uint32(s.stamp)), owner)
	}
	s.must(err)
}

// write changes the data of a file and sets a time that no other change has.
func (s *stack) write(u *unionmount.Union, node *unionmount.Node) {
	attr, err := u.Getattr(node)
	s.must(err)
	at := rapid.Int64Range(0, attr.Size).Draw(s.T, "offset")
	_, err = u.Write(node, fmt.Appendf(nil, "data %d\n", s.stamp), at, unionmount.Caller{})
	s.must(err)
	_, err = u.Setattr(node, unionmount.SetAttr{Mtime: &unix.Timespec{Sec: s.stamp, Nsec: s.stamp}})
	s.must(err)
}

// own gives a file an owner that no other file has.
func (s *stack) own(u *unionmount.Union, node *unionmount.Node) {
	id := uint32(1000 + s.stamp)
	_, err := u.Setattr(node, unionmount.SetAttr{UID: &id})
	s.must(err)
}

// remove removes an entry with all that is in it.
func (s *stack) remove(u *unionmount.Union, nodes map[string]*unionmount.Node, dir *unionmount.Node, name,
	full string) {
	if nodes[full].Kind() != unix.S_IFDIR {
		s.must(u.Unlink(dir, name))
		return
	}
	for child := range nodes {
		if path.Dir(child) == full {
			s.remove(u, nodes, nodes[full], path.Base(child), child)
		}
	}
	s.must(u.Rmdir(dir, name))
}
